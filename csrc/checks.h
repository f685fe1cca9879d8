// What an operator's arguments must be. Each check names the operator, the argument, what came and what is needed.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <string_view>

#include "geometry.h"

namespace roibench {

inline void check_floating(const char* op, const char* name, const at::Tensor& t) {
  TORCH_CHECK_TYPE(t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble || t.scalar_type() == at::kHalf ||
                       t.scalar_type() == at::kBFloat16,
                   op, ": ", name, " must be float32, float64, float16 or bfloat16, got ", t.scalar_type());
}

inline void check_boxes(const char* op, const char* name, const at::Tensor& t) {
  TORCH_CHECK_VALUE(t.dim() == 2 && t.size(1) == 4, op, ": ", name, " must have the shape [N, 4], got ", t.sizes());
  check_floating(op, name, t);
}

inline void check_same_device(const char* op, const char* name, const at::Tensor& t, const at::Tensor& first) {
  TORCH_CHECK_VALUE(t.device() == first.device(), op, ": ", name, " must be on ", first.device(),
                    ", as the first argument is, got ", t.device());
}

// One number for each box.
inline void check_per_box(const char* op, const char* name, const at::Tensor& t, const at::Tensor& boxes) {
  TORCH_CHECK_VALUE(t.dim() == 1 && t.size(0) == boxes.size(0), op, ": ", name, " must have the shape [", boxes.size(0),
                    "], one for each of boxes, got ", t.sizes());
  check_same_device(op, name, t, boxes);
}

inline void check_rois(const char* op, const at::Tensor& rois, const at::Tensor& input) {
  TORCH_CHECK_VALUE(rois.dim() == 2 && rois.size(1) == 5, op,
                    ": rois must have the shape [K, 5], (batch index, x1, y1, x2, y2), got ", rois.sizes());
  check_floating(op, "rois", rois);
  check_same_device(op, "rois", rois, input);
}

inline IouKind iou_kind(const char* op, std::string_view kind) {
  if (kind == "iou") return IouKind::iou;
  if (kind == "giou") return IouKind::giou;
  if (kind == "diou") return IouKind::diou;
  if (kind == "ciou") return IouKind::ciou;
  TORCH_CHECK_VALUE(false, op, ": kind must be 'iou', 'giou', 'diou' or 'ciou', got '", kind, "'");
}

// Arithmetic is in float64 where an argument is, else in float32.
inline at::ScalarType arithmetic(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kDouble || b.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace roibench
