#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "../checks.h"
#include "kernels.h"
#include "threshold.h"

namespace roibench {
namespace {

std::tuple<at::Tensor, at::Tensor> soft_nms(const at::Tensor& boxes, const at::Tensor& scores, c10::string_view method,
                                            double iou_threshold, double sigma, double score_threshold) {
  check_boxes("soft_nms", "boxes", boxes);
  check_floating("soft_nms", "scores", scores);
  check_per_box("soft_nms", "scores", scores, boxes);
  TORCH_CHECK_VALUE(method == "linear" || method == "gaussian",
                    "soft_nms: method must be 'linear' or 'gaussian', got '", method, "'");
  TORCH_CHECK_VALUE(sigma > 0, "soft_nms: sigma must be positive, got ", sigma);
  const auto dtype = arithmetic(boxes, scores);
  const int64_t n = boxes.size(0);
  at::Tensor kept = at::empty({n}, boxes.options().dtype(at::kLong));
  at::Tensor kept_scores = at::empty({n}, scores.options().dtype(dtype));
  const at::Tensor corners = boxes.to(dtype).contiguous(), initial = scores.to(dtype).contiguous();
  const auto run = [&]<class T>(T) {
    const SoftNms<T> how = {method == "gaussian", round_down<T>(iou_threshold), static_cast<T>(sigma),
                            round_up<T>(score_threshold)};
    return kernels<T>().soft_nms(how, corners.const_data_ptr<T>(), initial.const_data_ptr<T>(), n,
                                 kept.mutable_data_ptr<int64_t>(), kept_scores.mutable_data_ptr<T>());
  };
  const int64_t count = dtype == at::kDouble ? run(double()) : run(float());
  kept.resize_({count});
  return {kept, kept_scores.resize_({count}).to(scores.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("soft_nms", &soft_nms);
}

}  // namespace roibench
