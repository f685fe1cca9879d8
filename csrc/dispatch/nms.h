// nms and batched_nms on any device. A Device has suppress<T>, for contiguous tensors of one type that are not empty;
// its idxs are undefined where all boxes are of one class.
#pragma once

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include "../checks.h"
#include "../threshold.h"

namespace roibench {

template <class Device>
at::Tensor nms_of_classes(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& idxs,
                          double iou_threshold) {
  if (boxes.size(0) == 0) return at::empty({0}, boxes.options().dtype(at::kLong));
  const c10::DeviceGuard guard(boxes.device());
  const auto dtype = arithmetic(boxes, scores);
  const at::Tensor corners = boxes.to(dtype).contiguous(), ranking = scores.to(dtype).contiguous();
  return dtype == at::kDouble
             ? Device::template suppress<double>(corners, ranking, idxs, iou_threshold)
             : Device::template suppress<float>(corners, ranking, idxs, round_down<float>(iou_threshold));
}

template <class Device>
at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold) {
  check_boxes("nms", "boxes", boxes);
  check_floating("nms", "scores", scores);
  check_per_box("nms", "scores", scores, boxes);
  return nms_of_classes<Device>(boxes, scores, at::Tensor(), iou_threshold);
}

template <class Device>
at::Tensor batched_nms(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& idxs,
                       double iou_threshold) {
  check_boxes("batched_nms", "boxes", boxes);
  check_floating("batched_nms", "scores", scores);
  check_per_box("batched_nms", "scores", scores, boxes);
  check_per_box("batched_nms", "idxs", idxs, boxes);
  TORCH_CHECK_TYPE(c10::isIntegralType(idxs.scalar_type(), /*includeBool=*/false),
                   "batched_nms: idxs must be integers, got ", idxs.scalar_type());
  return nms_of_classes<Device>(boxes, scores, idxs.to(at::kLong).contiguous(), iou_threshold);
}

}  // namespace roibench
