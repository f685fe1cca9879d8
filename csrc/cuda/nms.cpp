#include "../dispatch/nms.h"

#include <ATen/ceil_div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/nms.h"
#include "stream.h"

namespace roibench {
namespace {

struct Cuda {
  template <class T>
  static at::Tensor suppress(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& idxs, T threshold) {
    const int64_t n = boxes.size(0);
    const auto stream = cuda::current_stream();
    const auto memory = [&](int64_t size, at::ScalarType type) {
      return at::empty({size}, boxes.options().dtype(type));
    };

    at::Tensor keys = memory(n, c10::CppTypeToScalarType<BitsOf<T>>::value);
    cuda::check_launch(cuda::score_keys(scores.const_data_ptr<T>(), n, keys.mutable_data_ptr<BitsOf<T>>(), stream));
    const at::Tensor order = std::get<1>(at::sort(keys, /*stable=*/true, /*dim=*/0, /*descending=*/false));
    const at::Tensor sorted = boxes.index_select(0, order);
    const at::Tensor classes = idxs.defined() ? idxs.index_select(0, order) : at::Tensor();

    constexpr int64_t kState = sizeof(cuda::NmsState) / sizeof(int64_t);
    at::Tensor zeros = at::zeros({kState + at::ceil_div(n, int64_t(64))}, boxes.options().dtype(at::kLong));
    at::Tensor overlaps =
        memory(at::ceil_div(std::min<int64_t>(n, cuda::kNmsBand), int64_t(64)) * cuda::kNmsBand, at::kLong);
    at::Tensor band = memory(cuda::kNmsBand, at::kLong), kept = memory(n, at::kLong);
    int64_t* const zeroed = zeros.mutable_data_ptr<int64_t>();
    cuda::check_launch(cuda::nms<T>(
        {sorted.const_data_ptr<T>(), idxs.defined() ? classes.const_data_ptr<int64_t>() : nullptr, n, threshold},
        {reinterpret_cast<cuda::NmsState*>(zeroed), reinterpret_cast<uint32_t*>(zeroed + kState),
         reinterpret_cast<uint64_t*>(overlaps.mutable_data_ptr<int64_t>()), band.mutable_data_ptr<int64_t>(),
         kept.mutable_data_ptr<int64_t>()},
        stream));
    const int64_t count = zeros.select(0, kState - 1).item<int64_t>();  // the only synchronisation
    return order.index_select(0, kept.narrow(0, 0, count));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("nms", &nms<Cuda>);
  m.impl("batched_nms", &batched_nms<Cuda>);
}

}  // namespace roibench
