// Transposed convolution is oneDNN's, through ATen. It is near the machine's limit where channels lie side by side in
// memory, and far from it where they don't, because ATen's own change of layout takes as long as the convolution does.
// So float32 maps in planes are turned here, by a transposition in registers, before and after.
#include <ATen/ops/convolution.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>

#include "../checks.h"
#include "kernels.h"
#include "layout.h"
#include "parallel.h"

namespace roibench {
namespace {

using at::MemoryFormat;

struct Parameters {
  at::IntArrayRef stride, padding, output_padding;
  int64_t groups;
  at::IntArrayRef dilation;
};

void check_arguments(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                     const Parameters& p) {
  const char* const op = "conv_transpose2d";
  TORCH_CHECK_VALUE(input.dim() == 4, op, ": input must have the shape [N, C, H, W], got ", input.sizes());
  check_floating(op, "input", input);
  TORCH_CHECK_VALUE(weight.dim() == 4, op, ": weight must have the shape [C, C_out / groups, height, width], got ",
                    weight.sizes());
  TORCH_CHECK_VALUE(p.groups > 0 && weight.size(0) % p.groups == 0, op, ": groups must divide the ", weight.size(0),
                    " channels of input, got ", p.groups);
  TORCH_CHECK_VALUE(input.size(1) == weight.size(0), op, ": input must have ", weight.size(0),
                    " channels, as weight has rows, got ", input.sizes());
  TORCH_CHECK_VALUE(weight.numel() > 0, op, ": weight must not be empty, got ", weight.sizes());
  TORCH_CHECK_VALUE(input.size(2) > 0 && input.size(3) > 0, op, ": input must have pixels, got ", input.sizes());
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

at::DimVector output_shape(const at::Tensor& input, const at::Tensor& weight, const Parameters& p) {
  at::DimVector shape = {input.size(0), weight.size(1) * p.groups};
  for (int axis = 0; axis < 2; ++axis) {
    shape.push_back((input.size(2 + axis) - 1) * p.stride[axis] - 2 * p.padding[axis] +
                    p.dilation[axis] * (weight.size(2 + axis) - 1) + p.output_padding[axis] + 1);
  }
  TORCH_CHECK_VALUE(shape[2] > 0 && shape[3] > 0,
                    "conv_transpose2d: padding must leave some output, got an output of the size ",
                    at::IntArrayRef(shape));
  return shape;
}

constexpr int64_t kPixels = 256;  // turned together: with a hundred channels, they fit the L2 cache

// The map in the other layout: from planes to channels-last, or back.
at::Tensor turned(const at::Tensor& map, MemoryFormat format) {
  at::Tensor out = at::empty(map.sizes(), map.options().memory_format(format));
  const bool to_last = format == MemoryFormat::ChannelsLast;
  const int64_t channels = map.size(1), pixels = map.size(2) * map.size(3), tiles = at::divup(pixels, kPixels);
  const float* const from = map.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, map.size(0) * tiles, grain(kPixels * channels), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / tiles * channels * pixels, first = i % tiles * kPixels;
      const int64_t n = std::min(kPixels, pixels - first);
      const int64_t in_planes = image + first, in_last = image + first * channels;
      to_last ? kernels<float>().transpose(from + in_planes, channels, n, pixels, to + in_last, channels)
              : kernels<float>().transpose(from + in_last, n, channels, channels, to + in_planes, pixels);
    }
  });
  return out;
}

at::Tensor conv_transpose2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef output_padding,
                            int64_t groups, at::IntArrayRef dilation) {
  const Parameters p = {stride, padding, output_padding, groups, dilation};
  check_arguments(input, weight, bias, p);
  const at::DimVector shape = output_shape(input, weight, p);
  const bool channels_last = is_channels_last(input);
  const MemoryFormat layout = format(channels_last);
  if (input.size(0) == 0) return at::empty(shape, input.options().memory_format(layout));

  const auto convolve = [&](const at::Tensor& map) {
    return at::convolution(map, weight, bias, stride, padding, dilation, /*transposed=*/true, output_padding, groups);
  };
  // Depthwise and thin convolutions gain nothing from channels side by side.
  const bool turn =
      !channels_last && input.scalar_type() == at::kFloat && groups == 1 && std::min(input.size(1), shape[1]) >= 16;
  if (!turn) return convolve(input.contiguous(layout)).contiguous(layout);
  const at::Tensor out = convolve(turned(input.contiguous(), MemoryFormat::ChannelsLast));
  return turned(out.contiguous(MemoryFormat::ChannelsLast), MemoryFormat::Contiguous);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("conv_transpose2d", &conv_transpose2d);
}

}  // namespace roibench
