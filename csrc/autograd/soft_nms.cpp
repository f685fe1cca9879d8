// Soft-NMS is not differentiable: whoever asks in forward mode must not get zeros.
#include <tuple>

#include "function.h"

namespace roibench {
namespace {

std::tuple<Tensor, Tensor> soft_nms(const Tensor& boxes, const Tensor& scores, c10::string_view method,
                                    double iou_threshold, double sigma, double score_threshold) {
  refuse_tangent("soft_nms", "boxes", boxes);
  refuse_tangent("soft_nms", "scores", scores);
  at::AutoDispatchBelowADInplaceOrView below;
  static const auto op =
      find<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, c10::string_view, double, double, double)>(
          "roibench::soft_nms");
  return op.call(boxes, scores, method, iou_threshold, sigma, score_threshold);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("soft_nms", &soft_nms);
}

}  // namespace roibench
