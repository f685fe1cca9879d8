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

at::Tensor memory(const at::Tensor& like, int64_t size) {
  return at::empty({size}, like.options().dtype(at::kLong));
}

// The places of numbers in ascending order, equal ones as they came.
std::tuple<at::Tensor, at::Tensor> sorted(const at::Tensor& numbers) {
  return at::sort(numbers, /*stable=*/true, /*dim=*/0, /*descending=*/false);
}

template <class T>
at::Tensor by_score(const at::Tensor& scores) {
  at::Tensor keys = at::empty(scores.sizes(), scores.options().dtype(c10::CppTypeToScalarType<BitsOf<T>>::value));
  cuda::check_launch(cuda::score_keys(scores.const_data_ptr<T>(), scores.size(0), keys.mutable_data_ptr<BitsOf<T>>(),
                                      cuda::current_stream()));
  return std::get<1>(sorted(keys));
}

// Of candidates that come best first, the places of those that are kept.
template <class T>
at::Tensor keep(const cuda::Candidates<T>& candidates, const at::Tensor& order) {
  constexpr int64_t kState = sizeof(cuda::NmsState) / sizeof(int64_t);
  const int64_t n = candidates.n;
  at::Tensor zeros = at::zeros({kState + at::ceil_div(n, int64_t(64))}, order.options());
  at::Tensor overlaps = memory(order, at::ceil_div(std::min<int64_t>(n, cuda::kNmsBand), int64_t(64)) * cuda::kNmsBand);
  at::Tensor band = memory(order, cuda::kNmsBand), kept = memory(order, n);
  int64_t* const zeroed = zeros.mutable_data_ptr<int64_t>();
  cuda::check_launch(
      cuda::nms<T>(candidates,
                   {reinterpret_cast<cuda::NmsState*>(zeroed), reinterpret_cast<uint32_t*>(zeroed + kState),
                    reinterpret_cast<uint64_t*>(overlaps.mutable_data_ptr<int64_t>()), band.mutable_data_ptr<int64_t>(),
                    kept.mutable_data_ptr<int64_t>()},
                   cuda::current_stream()));
  const int64_t count = zeros.select(0, kState - 1).item<int64_t>();  // the host waits
  return order.index_select(0, kept.narrow(0, 0, count));
}

// Class by class; undefined where one of them is too large. classes: in the order of scores.
template <class T>
at::Tensor keep_by_class(const at::Tensor& boxes, const at::Tensor& order, const at::Tensor& classes, T threshold) {
  const int64_t n = boxes.size(0);
  const auto stream = cuda::current_stream();
  const auto [together, place] = sorted(classes);
  at::Tensor spans = memory(order, 2 * n), counts = at::zeros({2}, order.options().dtype(at::kInt));
  const cuda::ClassSpans of_class = {reinterpret_cast<cuda::ClassSpan*>(spans.mutable_data_ptr<int64_t>()),
                                     counts.mutable_data_ptr<int>()};
  cuda::check_launch(cuda::class_spans(together.const_data_ptr<int64_t>(), n, of_class, stream));
  const at::Tensor candidates = boxes.index_select(0, order.index_select(0, place));
  at::Tensor kept = at::zeros({n}, order.options().dtype(at::kBool));
  const at::Tensor on_host = counts.cpu();  // the host waits
  const int* const found = on_host.const_data_ptr<int>();
  if (found[1] > cuda::kNmsOfClass<T>) return at::Tensor();
  cuda::check_launch(cuda::nms_of_classes<T>({candidates.const_data_ptr<T>(), nullptr, n, threshold}, of_class,
                                             found[0], place.const_data_ptr<int64_t>(), kept.mutable_data_ptr<bool>(),
                                             stream));
  return order.masked_select(kept);
}

struct Cuda {
  template <class T>
  static at::Tensor suppress(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& idxs, T threshold) {
    const at::Tensor order = by_score<T>(scores);
    at::Tensor classes;
    if (idxs.defined()) {
      classes = idxs.index_select(0, order);
      const at::Tensor kept = keep_by_class<T>(boxes, order, classes, threshold);
      if (kept.defined()) return kept;
    }
    const at::Tensor best_first = boxes.index_select(0, order);
    return keep<T>({best_first.const_data_ptr<T>(), classes.defined() ? classes.const_data_ptr<int64_t>() : nullptr,
                    boxes.size(0), threshold},
                   order);
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("nms", &nms<Cuda>);
  m.impl("batched_nms", &batched_nms<Cuda>);
}

}  // namespace roibench
