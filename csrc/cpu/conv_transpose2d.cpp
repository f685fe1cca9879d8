// Transposed convolution is oneDNN's, through ATen. It is near the machine's limit where channels lie side by side in
// memory, and far from it where they don't, because ATen's own change of layout takes as long as the convolution does.
// So float32 maps in planes are turned here, by a transposition in registers, before and after.
#include "../dispatch/conv_transpose2d.h"

#include <ATen/ops/convolution.h>
#include <torch/library.h>

#include "kernels.h"
#include "parallel.h"

namespace roibench {
namespace {

using at::MemoryFormat;

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

struct Cpu {
  static at::Tensor convolve(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                             const ConvTranspose2dParameters& p, at::IntArrayRef shape, MemoryFormat layout) {
    const auto run = [&](const at::Tensor& map) {
      return at::convolution(map, weight, bias, p.stride, p.padding, p.dilation, /*transposed=*/true, p.output_padding,
                             p.groups);
    };
    // Depthwise and thin convolutions gain nothing from channels side by side.
    const bool turn = layout == MemoryFormat::Contiguous && input.scalar_type() == at::kFloat && p.groups == 1 &&
                      std::min(input.size(1), shape[1]) >= 16;
    if (!turn) return run(input.contiguous(layout)).contiguous(layout);
    const at::Tensor out = run(turned(input.contiguous(), MemoryFormat::ChannelsLast));
    return turned(out.contiguous(MemoryFormat::ChannelsLast), MemoryFormat::Contiguous);
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("conv_transpose2d", &conv_transpose2d<Cpu>);
}

}  // namespace roibench
