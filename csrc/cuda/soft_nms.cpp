#include "../dispatch/soft_nms.h"

#include <ATen/ops/argsort.h>
#include <torch/library.h>

#include "kernels/soft_nms.h"
#include "stream.h"

namespace roibench {
namespace {

struct Cuda {
  template <class T>
  static int64_t soft_nms(const SoftNms<T>& how, const at::Tensor& boxes, const at::Tensor& scores, at::Tensor& kept,
                          at::Tensor& kept_scores) {
    if (boxes.size(0) == 0) return 0;
    const at::Tensor corners = cuda::aligned(boxes);
    at::Tensor left = scores.clone(), count = at::empty({}, kept.options()), order;
    if (boxes.size(0) <= cuda::kSoftNmsInRegisters<T>) order = at::argsort(boxes.select(1, 0));
    cuda::check_launch(cuda::soft_nms(how, corners.const_data_ptr<T>(), left.mutable_data_ptr<T>(),
                                      order.defined() ? order.const_data_ptr<int64_t>() : nullptr, boxes.size(0),
                                      kept.mutable_data_ptr<int64_t>(), kept_scores.mutable_data_ptr<T>(),
                                      count.mutable_data_ptr<int64_t>(), cuda::current_stream()));
    return count.item<int64_t>();  // the only synchronisation
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("soft_nms", &soft_nms<Cuda>);
}

}  // namespace roibench
