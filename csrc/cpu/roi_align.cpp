#include "../dispatch/roi_align.h"

#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "half.h"
#include "kernels.h"
#include "parallel.h"

namespace roibench {
namespace {

using at::MemoryFormat;

// Multiply-adds for one RoI and one channel, roughly.
template <class T>
int64_t cost(const RoiAlign<T>& shape) {
  return shape.bins_y * shape.bins_x * 12;
}

template <class T>
RoiAlign<T> shape_of(at::IntArrayRef input_size, const at::Tensor& pooled, const at::Tensor& rois,
                     const RoiAlignSampling& sampling) {
  return {input_size[0],
          input_size[1],
          input_size[2],
          input_size[3],
          pooled.size(2),
          pooled.size(3),
          is_channels_last(pooled),
          sampling.aligned,
          sampling.ratio,
          T(sampling.spatial_scale),
          rois.const_data_ptr<T>()};
}

// RoIs whose numbers are narrowed together: they are still in the L2 cache.
constexpr int64_t kRois = 4;

// Channels that one thread takes at least in backward: a cache line of floats, so that threads don't write to each
// other's lines.
constexpr int64_t kChannelBlock = 16;

struct Cpu {
  template <class S>
  static void forward(const at::Tensor& input, const at::Tensor& rois, const RoiAlignSampling& sampling,
                      at::Tensor& pooled) {
    using T = at::opmath_type<S>;
    if (input.numel() == 0) {
      pooled.zero_();
      return;
    }
    const RoiAlign<T> shape = shape_of<T>(input.sizes(), pooled, rois, sampling);
    const at::Tensor map = as(input, rois.scalar_type(), MemoryFormat::ChannelsLast);
    const T* const from = map.const_data_ptr<T>();
    S* const to = pooled.mutable_data_ptr<S>();
    at::parallel_for(0, rois.size(0), grain(cost(shape) * shape.channels), [&](int64_t begin, int64_t end) {
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

  template <class T>
  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                             const RoiAlignSampling& sampling, bool) {
    const at::Tensor pooled_grad = as(grad, rois.scalar_type(), format(is_channels_last(grad)));
    at::Tensor input_grad = zeros(input_size, rois.options(), MemoryFormat::ChannelsLast);
    const RoiAlign<T> shape = shape_of<T>(input_size, pooled_grad, rois, sampling);
    const T* const from = pooled_grad.const_data_ptr<T>();
    T* const to = input_grad.mutable_data_ptr<T>();
    const int64_t blocks = at::divup(shape.channels, kChannelBlock);
    const int64_t rois_per_image = at::divup(rois.size(0), shape.batch);
    at::parallel_for(0, shape.batch * blocks, grain(cost(shape) * kChannelBlock * rois_per_image),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t image = begin / blocks; image * blocks < end; ++image) {
                         const int64_t first = std::max<int64_t>(begin - image * blocks, 0) * kChannelBlock;
                         const int64_t last = std::min((end - image * blocks) * kChannelBlock, shape.channels);
                         kernels<T>().roi_align_backward(shape, rois.size(0), from, to, image, first, last);
                       }
                     });
    return input_grad;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("roi_align", &roi_align<Cpu>);
  m.impl("roi_align_backward", &roi_align_backward<Cpu>);
}

}  // namespace roibench
