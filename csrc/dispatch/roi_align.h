// roi_align on any device. A Device has forward<S>, into a pooled map that is not empty, and backward<T>, which returns
// the gradient in the type T of the arithmetic and any order of memory. RoIs are contiguous and of the type T.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <c10/core/DeviceGuard.h>

#include "../checks.h"
#include "../layout.h"

namespace roibench {

struct RoiAlignSampling {
  double spatial_scale;
  int64_t ratio;
  bool aligned;
};

inline void check_sampling_ratio(const char* op, int64_t ratio) {
  TORCH_CHECK_VALUE(ratio <= kMaxPerAxis, op, ": sampling_ratio must be at most ", kMaxPerAxis, ", got ", ratio);
}

template <class Device>
at::Tensor roi_align(const at::Tensor& input, const at::Tensor& rois, double spatial_scale, int64_t pooled_height,
                     int64_t pooled_width, int64_t sampling_ratio, bool aligned) {
  constexpr const char* op = "roi_align";
  check_map(op, input);
  check_rois(op, rois, input);
  check_output_size(op, pooled_height, pooled_width);
  check_sampling_ratio(op, sampling_ratio);

  const c10::DeviceGuard guard(input.device());
  at::Tensor pooled = at::empty({rois.size(0), input.size(1), pooled_height, pooled_width},
                                input.options().memory_format(format(is_channels_last(input))));
  const at::Tensor boxes = as(rois, arithmetic(input, input), at::MemoryFormat::Contiguous);
  check_images(op, boxes, input.size(0));
  if (pooled.numel() == 0) return pooled;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, input.scalar_type(), op, [&] {
    Device::template forward<scalar_t>(input, boxes, {spatial_scale, sampling_ratio, aligned}, pooled);
  });
  return pooled;
}

template <class Device>
at::Tensor roi_align_backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                              double spatial_scale, int64_t sampling_ratio, bool aligned, bool channels_last) {
  constexpr const char* op = "roi_align_backward";
  check_input_size(op, input_size);
  check_floating(op, "grad", grad);
  check_rois(op, rois, grad);
  check_sampling_ratio(op, sampling_ratio);
  TORCH_CHECK_VALUE(grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(1) == input_size[1], op,
                    ": grad must have the shape [K, C, height, width] with K = ", rois.size(0),
                    " and C = ", input_size[1], ", got ", grad.sizes());

  const c10::DeviceGuard guard(grad.device());
  const auto dtype = arithmetic(grad, grad);
  const at::Tensor boxes = as(rois, dtype, at::MemoryFormat::Contiguous);
  check_images(op, boxes, input_size[0]);
  if (grad.numel() == 0 || c10::multiply_integers(input_size) == 0) {
    return zeros(input_size, grad.options(), format(channels_last));
  }
  at::Tensor input_grad;
  AT_DISPATCH_FLOATING_TYPES(dtype, op, [&] {
    input_grad = Device::template backward<scalar_t>(grad, boxes, input_size, {spatial_scale, sampling_ratio, aligned},
                                                     channels_last);
  });
  return as(input_grad, grad.scalar_type(), format(channels_last));
}

}  // namespace roibench
