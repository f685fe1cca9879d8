#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "../checks.h"
#include "half.h"
#include "kernels.h"
#include "layout.h"
#include "parallel.h"

namespace roibench {
namespace {

using at::MemoryFormat;

// Multiply-adds for one RoI and one channel, roughly.
template <class T>
int64_t cost(const RoiAlign<T>& shape) {
  return shape.bins_y * shape.bins_x * 12;
}

// RoIs whose numbers are narrowed together: they are still in the L2 cache.
constexpr int64_t kRois = 4;

template <class S, class T>
void forward(const RoiAlign<T>& shape, const at::Tensor& input, int64_t rois, at::Tensor& pooled) {
  const T* const from = input.const_data_ptr<T>();
  S* const to = pooled.mutable_data_ptr<S>();
  at::parallel_for(0, rois, grain(cost(shape) * shape.channels), [&](int64_t begin, int64_t end) {
    if constexpr (is_half<S>) {
      const int64_t size = shape.channels * shape.bins_y * shape.bins_x;
      std::vector<T> part(std::min(kRois, end - begin) * size);
      for (int64_t first = begin; first < end; first += kRois) {
        const int64_t n = std::min(kRois, end - first);
        RoiAlign<T> these = shape;
        these.rois += 5 * first;
        kernels<T>().roi_align(these, from, part.data(), 0, n);
        narrow(part.data(), to + first * size, n * size);
      }
    } else {
      kernels<T>().roi_align(shape, from, to, begin, end);
    }
  });
}

at::Tensor roi_align(const at::Tensor& input, const at::Tensor& rois, double spatial_scale, int64_t pooled_height,
                     int64_t pooled_width, int64_t sampling_ratio, bool aligned) {
  check_map("roi_align", input);
  check_rois("roi_align", rois, input);
  check_output_size("roi_align", pooled_height, pooled_width);

  const bool channels_last = is_channels_last(input);
  const auto dtype = arithmetic(input, input);
  const int64_t n = rois.size(0);
  at::Tensor pooled =
      at::empty({n, input.size(1), pooled_height, pooled_width}, input.options().memory_format(format(channels_last)));
  const at::Tensor boxes = rois.to(dtype).contiguous();
  const auto run = [&]<class S>(S) {
    using T = at::opmath_type<S>;
    const RoiAlign<T> shape = {input.size(0),
                               input.size(1),
                               input.size(2),
                               input.size(3),
                               pooled_height,
                               pooled_width,
                               channels_last,
                               aligned,
                               sampling_ratio,
                               T(spatial_scale),
                               boxes.const_data_ptr<T>()};
    check_batch_index("roi_align", shape.rois, n, shape.batch);
    if (pooled.numel() == 0) return;
    if (input.numel() == 0) {
      pooled.zero_();
      return;
    }
    forward<S>(shape, as(input, dtype, MemoryFormat::ChannelsLast), n, pooled);
  };
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, input.scalar_type(), "roi_align", [&] { run(scalar_t()); });
  return pooled;
}

// Channels that one thread takes at least: a cache line of floats, so that threads don't write to each other's lines.
constexpr int64_t kChannelBlock = 16;

template <class T>
void backward(const RoiAlign<T>& shape, const at::Tensor& grad, int64_t rois, at::Tensor& input_grad) {
  const T* const from = grad.const_data_ptr<T>();
  T* const to = input_grad.mutable_data_ptr<T>();
  const int64_t blocks = at::divup(shape.channels, kChannelBlock);
  const int64_t rois_per_image = at::divup(rois, shape.batch);
  at::parallel_for(0, shape.batch * blocks, grain(cost(shape) * kChannelBlock * rois_per_image),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t image = begin / blocks; image * blocks < end; ++image) {
                       const int64_t first = std::max<int64_t>(begin - image * blocks, 0) * kChannelBlock;
                       const int64_t last = std::min((end - image * blocks) * kChannelBlock, shape.channels);
                       kernels<T>().roi_align_backward(shape, rois, from, to, image, first, last);
                     }
                   });
}

at::Tensor roi_align_backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                              double spatial_scale, int64_t sampling_ratio, bool aligned, bool channels_last) {
  TORCH_CHECK_VALUE(input_size.size() == 4, "roi_align_backward: input_size must be (N, C, H, W), got ", input_size);
  check_floating("roi_align_backward", "grad", grad);
  check_rois("roi_align_backward", rois, grad);
  TORCH_CHECK_VALUE(grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(1) == input_size[1],
                    "roi_align_backward: grad must have the shape [K, C, height, width] with K = ", rois.size(0),
                    " and C = ", input_size[1], ", got ", grad.sizes());

  const bool grad_channels_last = is_channels_last(grad);
  const auto dtype = arithmetic(grad, grad);
  const int64_t n = rois.size(0);
  at::Tensor input_grad = at::zeros(input_size, grad.options().dtype(dtype)).contiguous(MemoryFormat::ChannelsLast);
  const at::Tensor boxes = rois.to(dtype).contiguous();
  const auto run = [&]<class T>(T) {
    const RoiAlign<T> shape = {input_size[0],
                               input_size[1],
                               input_size[2],
                               input_size[3],
                               grad.size(2),
                               grad.size(3),
                               grad_channels_last,
                               aligned,
                               sampling_ratio,
                               T(spatial_scale),
                               boxes.const_data_ptr<T>()};
    check_batch_index("roi_align_backward", shape.rois, n, shape.batch);
    if (grad.numel() == 0 || input_grad.numel() == 0) return;
    backward<T>(shape, as(grad, dtype, format(grad_channels_last)), n, input_grad);
  };
  dtype == at::kDouble ? run(double()) : run(float());
  return as(input_grad, grad.scalar_type(), format(channels_last));
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("roi_align", &roi_align);
  m.impl("roi_align_backward", &roi_align_backward);
}

}  // namespace roibench
