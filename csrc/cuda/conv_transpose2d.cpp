// cuDNN's, through ATen, but for one kernel of decoders, 4 x 4 with stride 2, in full float32 and from few channels:
// there the own one is faster. Where torch's flag allows TF32, and in half types, cuDNN has tensor cores.
#include "../dispatch/conv_transpose2d.h"

#include <ATen/Context.h>
#include <ATen/ops/convolution.h>
#include <torch/library.h>

#include "kernels/conv_transpose2d.h"
#include "stream.h"

namespace roibench {
namespace {

bool own_is_faster(const at::Tensor& input, const at::Tensor& weight, const ConvTranspose2dParameters& p) {
  const auto is = [](at::IntArrayRef pair, int64_t number) { return pair[0] == number && pair[1] == number; };
  constexpr int64_t kFewChannels = 128;  // on an H100 it gains a third from 64 and from 128, and loses as much from 256
  return input.scalar_type() == at::kFloat && input.size(1) <= kFewChannels && p.groups == 1 &&
         is(weight.sizes().slice(2), 4) && is(p.stride, 2) && is(p.padding, 1) && is(p.dilation, 1) &&
         !at::globalContext().allowTF32CuDNN(at::Float32Op::CONV);
}

struct Cuda {
  static at::Tensor convolve(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                             const ConvTranspose2dParameters& p, at::IntArrayRef shape, at::MemoryFormat layout) {
    const at::Tensor map = input.contiguous(layout);
    if (!own_is_faster(input, weight, p)) {
      return at::convolution(map, weight, bias, p.stride, p.padding, p.dilation, /*transposed=*/true, p.output_padding,
                             p.groups)
          .contiguous(layout);
    }
    const at::Tensor from = cuda::aligned(map);
    const at::Tensor by_tap = cuda::aligned(weight.permute({2, 3, 0, 1}).contiguous());
    const at::Tensor offset = bias.has_value() ? bias->contiguous() : at::Tensor();
    at::Tensor out = at::empty(shape, input.options().memory_format(layout));
    cuda::check_launch(cuda::conv_transpose2d(
        {map.size(0), map.size(1), map.size(2), map.size(3), shape[1], shape[2], shape[3],
         static_cast<int>(weight.size(2)), static_cast<int>(p.padding[0]), layout == at::MemoryFormat::ChannelsLast},
        from.const_data_ptr<float>(), by_tap.const_data_ptr<float>(),
        offset.defined() ? offset.const_data_ptr<float>() : nullptr, out.mutable_data_ptr<float>(),
        cuda::current_stream()));
    return out;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("conv_transpose2d", &conv_transpose2d<Cuda>);
}

}  // namespace roibench
