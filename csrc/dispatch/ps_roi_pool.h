// ps_roi_pool on any device. A Device has forward<S>, which returns the pooled map, and backward<T>, the gradient, both
// in the type T of the arithmetic or in the result's. RoIs are contiguous and of the type T.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "../checks.h"
#include "../layout.h"

namespace roibench {

// The part of a map that bins reach: as torchvision's, not its last row and column.
inline int64_t ps_extent(int64_t size) {
  return std::max<int64_t>(size - 1, 0);
}

template <class Device>
at::Tensor ps_roi_pool(const at::Tensor& input, const at::Tensor& rois, double spatial_scale, int64_t pooled_height,
                       int64_t pooled_width) {
  constexpr const char* op = "ps_roi_pool";
  check_map(op, input);
  check_pixels(op, input.sizes());
  check_rois(op, rois, input);
  check_output_size(op, pooled_height, pooled_width);
  TORCH_CHECK_VALUE(input.size(1) % (pooled_height * pooled_width) == 0, op,
                    ": input's channels must be a multiple of output_size's ", pooled_height, " * ", pooled_width,
                    " bins, got ", input.size(1));

  const c10::DeviceGuard guard(input.device());
  const auto dtype = arithmetic(input, input);
  const at::DimVector size = {rois.size(0), input.size(1) / (pooled_height * pooled_width), pooled_height,
                              pooled_width};
  const at::Tensor boxes = as(rois, dtype, at::MemoryFormat::Contiguous);
  check_images(op, boxes, input.size(0));
  if (c10::multiply_integers(size) == 0) return at::empty(size, input.options());
  at::Tensor pooled;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, input.scalar_type(), op, [&] {
    pooled = Device::template forward<scalar_t>(input, boxes, spatial_scale, size);
  });
  return pooled.to(input.scalar_type());
}

template <class Device>
at::Tensor ps_roi_pool_backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                                double spatial_scale, bool channels_last) {
  constexpr const char* op = "ps_roi_pool_backward";
  check_input_size(op, input_size);
  check_floating(op, "grad", grad);
  check_pixels(op, input_size);
  check_rois(op, rois, grad);
  TORCH_CHECK_VALUE(
      grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(1) * grad.size(2) * grad.size(3) == input_size[1],
      op, ": grad must have the shape [K, c, height, width] with K = ", rois.size(0),
      " and c * height * width = ", input_size[1], ", got ", grad.sizes());

  const c10::DeviceGuard guard(grad.device());
  const auto dtype = arithmetic(grad, grad);
  const at::Tensor boxes = as(rois, dtype, at::MemoryFormat::Contiguous);
  check_images(op, boxes, input_size[0]);
  if (grad.numel() == 0 || c10::multiply_integers(input_size) == 0) {
    return zeros(input_size, grad.options(), format(channels_last));
  }
  at::Tensor input_grad;
  AT_DISPATCH_FLOATING_TYPES(dtype, op, [&] {
    input_grad = Device::template backward<scalar_t>(as(grad, dtype, at::MemoryFormat::Contiguous), boxes, input_size,
                                                     spatial_scale, channels_last);
  });
  return input_grad.to(grad.scalar_type());
}

}  // namespace roibench
