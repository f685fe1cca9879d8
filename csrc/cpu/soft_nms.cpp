#include "../dispatch/soft_nms.h"

#include <torch/library.h>

#include "kernels.h"

namespace roibench {
namespace {

struct Cpu {
  template <class T>
  static int64_t soft_nms(const SoftNms<T>& how, const at::Tensor& boxes, const at::Tensor& scores, at::Tensor& kept,
                          at::Tensor& kept_scores) {
    return kernels<T>().soft_nms(how, boxes.const_data_ptr<T>(), scores.const_data_ptr<T>(), boxes.size(0),
                                 kept.mutable_data_ptr<int64_t>(), kept_scores.mutable_data_ptr<T>());
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("soft_nms", &soft_nms<Cpu>);
}

}  // namespace roibench
