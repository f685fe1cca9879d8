// What an operator's arguments must be. Each check names the operator, the argument, what came and what is needed.
#pragma once

#include <ATen/DimVector.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "geometry/bins.h"
#include "geometry/overlap.h"

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

inline void check_map(const char* op, const at::Tensor& input) {
  TORCH_CHECK_VALUE(input.dim() == 4, op, ": input must have the shape [N, C, H, W], got ", input.sizes());
  check_floating(op, "input", input);
}

inline void check_output_size(const char* op, int64_t height, int64_t width) {
  TORCH_CHECK_VALUE(height > 0 && width > 0, op, ": output_size must be positive, got ", height, " x ", width);
  TORCH_CHECK_VALUE(height <= kMaxPerAxis && width <= kMaxPerAxis, op, ": output_size must be at most ", kMaxPerAxis,
                    " per axis, got ", height, " x ", width);
}

inline void check_input_size(const char* op, at::IntArrayRef size) {
  TORCH_CHECK_VALUE(size.size() == 4 && std::all_of(size.begin(), size.end(), [](int64_t n) { return n >= 0; }), op,
                    ": input_size must be (N, C, H, W), got ", size);
}

// Where each number came from is an int32 pixel.
inline void check_pixels(const char* op, at::IntArrayRef size) {
  TORCH_CHECK_VALUE(size[2] == 0 || size[3] <= INT32_MAX / size[2], op,
                    ": input must have fewer than 2^31 pixels, got ", size[2], " x ", size[3]);
}

template <class T>
void check_images_on_host(const char* op, const at::Tensor& rois, int64_t batch) {
  const T* const roi = rois.const_data_ptr<T>();
  for (int64_t k = 0; k < rois.size(0); ++k) {
    TORCH_CHECK_INDEX(roi[5 * k] >= 0 && roi[5 * k] < T(batch), op, ": rois[", k, ", 0] must be a batch index below ",
                      batch, ", got ", roi[5 * k]);
  }
}

// That each RoI lies on one of the images. Reading RoIs that lie on a GPU would make the host wait for it: there RoIs
// of no image give NaN, unless ROIBENCH_DEBUG=1 asks for the error. rois: contiguous, float32 or float64.
inline void check_images(const char* op, const at::Tensor& rois, int64_t batch) {
  static const char* const debug = std::getenv("ROIBENCH_DEBUG");
  if (!rois.is_cpu() && (debug == nullptr || std::string_view(debug) != "1")) return;
  const at::Tensor on_host = rois.cpu();
  rois.scalar_type() == at::kDouble ? check_images_on_host<double>(op, on_host, batch)
                                    : check_images_on_host<float>(op, on_host, batch);
}

inline IouKind iou_kind(const char* op, std::string_view kind) {
  if (kind == "iou") return IouKind::iou;
  if (kind == "giou") return IouKind::giou;
  if (kind == "diou") return IouKind::diou;
  if (kind == "ciou") return IouKind::ciou;
  TORCH_CHECK_VALUE(false, op, ": kind must be 'iou', 'giou', 'diou' or 'ciou', got '", kind, "'");
}

inline IouKind check_box_iou(const char* op, const at::Tensor& boxes1, const at::Tensor& boxes2, std::string_view kind,
                             bool elementwise) {
  check_boxes(op, "boxes1", boxes1);
  check_boxes(op, "boxes2", boxes2);
  check_same_device(op, "boxes2", boxes2, boxes1);
  TORCH_CHECK_VALUE(!elementwise || boxes1.size(0) == boxes2.size(0), op,
                    ": elementwise needs as many boxes2 as boxes1, got ", boxes1.size(0), " and ", boxes2.size(0));
  return iou_kind(op, kind);
}

inline at::DimVector box_iou_shape(const at::Tensor& boxes1, const at::Tensor& boxes2, bool elementwise) {
  return elementwise ? at::DimVector{boxes1.size(0)} : at::DimVector{boxes1.size(0), boxes2.size(0)};
}

inline void check_box_iou_grad(const at::Tensor& grad, const at::Tensor& boxes1, const at::Tensor& boxes2,
                               bool elementwise) {
  const at::DimVector needed = box_iou_shape(boxes1, boxes2, elementwise);
  TORCH_CHECK_VALUE(grad.sizes() == at::IntArrayRef(needed), "box_iou_backward: grad must have the shape ",
                    at::IntArrayRef(needed), ", got ", grad.sizes());
  check_floating("box_iou_backward", "grad", grad);
  check_same_device("box_iou_backward", "grad", grad, boxes1);
}

// Arithmetic is in float64 where an argument is, else in float32.
inline at::ScalarType arithmetic(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kDouble || b.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace roibench
