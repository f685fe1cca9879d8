// conv_transpose2d on any device. A Device has convolve, for a batch that is not empty; its result has the shape and
// the memory order that it is told.
#pragma once

#include <ATen/ops/convolution.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "../checks.h"
#include "../layout.h"

namespace roibench {

struct ConvTranspose2dParameters {
  at::IntArrayRef stride, padding, output_padding;
  int64_t groups;
  at::IntArrayRef dilation;
};

inline void check_conv_transpose2d(const at::Tensor& input, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, const ConvTranspose2dParameters& p) {
  const char* const op = "conv_transpose2d";
  check_map(op, input);
  TORCH_CHECK_VALUE(weight.dim() == 4, op, ": weight must have the shape [C, C_out / groups, height, width], got ",
                    weight.sizes());
  TORCH_CHECK_VALUE(p.groups > 0 && weight.size(0) % p.groups == 0, op, ": groups must divide the ", weight.size(0),
                    " channels of input, got ", p.groups);
  TORCH_CHECK_VALUE(input.size(1) == weight.size(0), op, ": input must have ", weight.size(0),
                    " channels, as weight has rows, got ", input.sizes());
  TORCH_CHECK_VALUE(weight.numel() > 0, op, ": weight must not be empty, got ", weight.sizes());
  TORCH_CHECK_VALUE(input.size(0) == 0 || (input.size(2) > 0 && input.size(3) > 0), op,
                    ": input must have pixels, got ", input.sizes());
  TORCH_CHECK_TYPE(weight.scalar_type() == input.scalar_type(), op, ": weight must be ", input.scalar_type(),
                   ", as input is, got ", weight.scalar_type());
  check_same_device(op, "weight", weight, input);
  if (bias.has_value()) {
    const int64_t channels = weight.size(1) * p.groups;
    TORCH_CHECK_VALUE(bias->dim() == 1 && bias->size(0) == channels, op, ": bias must have the shape [", channels,
                      "], got ", bias->sizes());
    TORCH_CHECK_TYPE(bias->scalar_type() == input.scalar_type(), op, ": bias must be ", input.scalar_type(),
                     ", as input is, got ", bias->scalar_type());
    check_same_device(op, "bias", *bias, input);
  }
  for (const auto& [name, pair] : {std::pair("stride", p.stride), std::pair("padding", p.padding),
                                   std::pair("output_padding", p.output_padding), std::pair("dilation", p.dilation)}) {
    TORCH_CHECK_VALUE(std::max(pair[0], pair[1]) <= INT32_MAX, op, ": ", name, " must be below 2^31, got ", pair);
  }
  for (int axis = 0; axis < 2; ++axis) {
    TORCH_CHECK_VALUE(p.stride[axis] > 0, op, ": stride must be positive, got ", p.stride);
    TORCH_CHECK_VALUE(p.padding[axis] >= 0, op, ": padding must not be negative, got ", p.padding);
    TORCH_CHECK_VALUE(p.dilation[axis] > 0, op, ": dilation must be positive, got ", p.dilation);
    TORCH_CHECK_VALUE(
        p.output_padding[axis] >= 0 && p.output_padding[axis] < std::max(p.stride[axis], p.dilation[axis]), op,
        ": output_padding must be in [0, max(stride, dilation)), got ", p.output_padding, " with stride ", p.stride,
        " and dilation ", p.dilation);
  }
}

inline at::DimVector conv_transpose2d_shape(const at::Tensor& input, const at::Tensor& weight,
                                            const ConvTranspose2dParameters& p) {
  at::DimVector shape = {input.size(0), weight.size(1) * p.groups};
  for (int axis = 0; axis < 2; ++axis) {
    // Of sizes below 2^31, so that nothing overflows; a larger map has no memory, but may be the view of a number.
    TORCH_CHECK_VALUE(std::max(input.size(2 + axis), weight.size(2 + axis)) <= INT32_MAX,
                      "conv_transpose2d: input and weight must be smaller than 2^31 along each axis, got ",
                      input.sizes(), " and ", weight.sizes());
    shape.push_back((input.size(2 + axis) - 1) * p.stride[axis] - 2 * p.padding[axis] +
                    p.dilation[axis] * (weight.size(2 + axis) - 1) + p.output_padding[axis] + 1);
  }
  TORCH_CHECK_VALUE(shape[2] >= 0 && shape[3] >= 0,
                    "conv_transpose2d: padding must leave some output, got an output of the size ",
                    at::IntArrayRef(shape));
  return shape;
}

template <class Device>
at::Tensor conv_transpose2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef output_padding,
                            int64_t groups, at::IntArrayRef dilation) {
  const ConvTranspose2dParameters p = {stride, padding, output_padding, groups, dilation};
  check_conv_transpose2d(input, weight, bias, p);
  const c10::DeviceGuard guard(input.device());
  const at::DimVector shape = conv_transpose2d_shape(input, weight, p);
  const at::MemoryFormat layout = format(is_channels_last(input));
  if (input.size(0) == 0) return at::empty(shape, input.options().memory_format(layout));
  if (shape[2] == 0 || shape[3] == 0) {  // nothing, or an error: which of them, depends on what torch calls
    return at::convolution(input, weight, bias, stride, padding, dilation, /*transposed=*/true, output_padding, groups);
  }
  return Device::convolve(input, weight, bias, p, shape, layout);
}

}  // namespace roibench
