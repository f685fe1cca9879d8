// soft_nms on any device. A Device has soft_nms<T>, for contiguous tensors of one type: it fills the indices and the
// scores that are kept, for which there is space, and returns how many they are.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "../checks.h"
#include "../soft_nms.h"
#include "../threshold.h"

namespace roibench {

template <class Device>
std::tuple<at::Tensor, at::Tensor> soft_nms(const at::Tensor& boxes, const at::Tensor& scores, c10::string_view method,
                                            double iou_threshold, double sigma, double score_threshold) {
  check_boxes("soft_nms", "boxes", boxes);
  check_floating("soft_nms", "scores", scores);
  check_per_box("soft_nms", "scores", scores, boxes);
  TORCH_CHECK_VALUE(method == "linear" || method == "gaussian",
                    "soft_nms: method must be 'linear' or 'gaussian', got '", method, "'");
  TORCH_CHECK_VALUE(sigma > 0, "soft_nms: sigma must be positive, got ", sigma);
  const c10::DeviceGuard guard(boxes.device());
  const auto dtype = arithmetic(boxes, scores);
  const int64_t n = boxes.size(0);
  at::Tensor kept = at::empty({n}, boxes.options().dtype(at::kLong));
  at::Tensor kept_scores = at::empty({n}, scores.options().dtype(dtype));
  const at::Tensor corners = boxes.to(dtype).contiguous(), initial = scores.to(dtype).contiguous();
  int64_t count = 0;
  AT_DISPATCH_FLOATING_TYPES(dtype, "soft_nms", [&] {
    const scalar_t width =
        std::max(static_cast<scalar_t>(sigma), std::numeric_limits<scalar_t>::min());  // 0 / 0 is NaN
    const SoftNms<scalar_t> how = {method == "gaussian", round_down<scalar_t>(iou_threshold), width,
                                   round_up<scalar_t>(score_threshold)};
    count = Device::template soft_nms<scalar_t>(how, corners, initial, kept, kept_scores);
  });
  kept.resize_({count});
  return {kept, kept_scores.resize_({count}).to(scores.scalar_type())};
}

}  // namespace roibench
