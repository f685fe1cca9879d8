#include "../dispatch/max_pool.h"

#include <torch/library.h>

#include "windows.h"

namespace roibench {
namespace {

// Pixels that are put in order at a time: enough for long runs, few enough to leave out what no window sees.
constexpr int64_t kPixels = 64;

// Which runs of kPixels are in a window, for all maps.
std::vector<char> runs_in_windows(const Windows& w, int64_t count, int64_t runs, int64_t batch) {
  std::vector<char> seen(batch * runs);
  for (int64_t k = 0; k < count; ++k) {
    const Range* y = w.pixels + k * w.edges;
    for (int64_t level = 0; level < w.levels; ++level) {
      const Grid grid = w.grids[level];
      const Range* const x = y + grid.rows;
      const int64_t left = x[0].begin, right = x[grid.columns - 1].end;
      for (int64_t row = y[0].begin; left < right && row < y[grid.rows - 1].end; ++row) {
        const int64_t first = (row * w.width + left) / kPixels, last = (row * w.width + right - 1) / kPixels;
        for (int64_t run = first; run <= last; ++run) seen[w.image[k] * runs + run] = 1;
      }
      y = x + grid.columns;
    }
  }
  return seen;
}

// Channels that one thread takes at least in backward: a cache line of floats, so that threads don't write to each
// other's lines.
constexpr int64_t kChannelBlock = 16;

struct Cpu {
  template <class I>
  static void forward(const Pooling& pooling, const at::Tensor& input, I infinity, bool channels_last,
                      at::Tensor& pooled, at::Tensor& argmax) {
    if (input.numel() == 0) {
      pooled.zero_();
      argmax.fill_(-1);
      return;
    }
    const WindowTable table(pooling);
    constexpr at::ScalarType bits = c10::CppTypeToScalarType<I>::value;
    const Windows& w = table.windows;
    const int64_t batch = input.size(0), pixels = w.height * w.width, runs = at::divup(pixels, kPixels);
    const bool input_channels_last = is_channels_last(input);
    const at::Tensor source = input_channels_last ? input : input.contiguous();
    const at::Tensor ordered = at::empty({batch, pixels, w.channels}, input.options().dtype(bits));
    const I* const from = static_cast<const I*>(source.const_data_ptr());
    I* const ranks = ordered.mutable_data_ptr<I>();
    const std::vector<char> seen = runs_in_windows(w, table.count(), runs, batch);
    at::parallel_for(0, batch * runs, grain(kPixels * w.channels), [&](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; ++run) {
        if (!seen[run]) continue;
        const int64_t map = run / runs * pixels * w.channels, first = run % runs * kPixels;
        order_kernels<I>().to_order(from + map, ranks + map, w.channels, pixels, input_channels_last, infinity, first,
                                    std::min(first + kPixels, pixels));
      }
    });

    I* const to = static_cast<I*>(pooled.mutable_data_ptr());
    int32_t* const at = argmax.numel() == 0 ? nullptr : argmax.mutable_data_ptr<int32_t>();
    at::parallel_for(
        0, table.count() * at::divup(w.channels, kPoolBlock), grain(w.bins * kPoolBlock),
        [&](int64_t begin, int64_t end) { order_kernels<I>().max_pool(w, ranks, channels_last, to, at, begin, end); });
  }

  template <class T>
  static at::Tensor backward(const Pooling& pooling, const at::Tensor& grad, bool grad_channels_last,
                             const at::Tensor& argmax, bool channels_last) {
    const WindowTable table(pooling);
    const at::Tensor wide = as(grad, c10::CppTypeToScalarType<T>::value, format(grad_channels_last));
    at::Tensor input_grad = at::empty(pooling.size, wide.options().memory_format(format(channels_last)));
    const Windows& w = table.windows;
    const int64_t batch = input_grad.size(0), blocks = at::divup(w.channels, kChannelBlock);
    const T* const from = wide.const_data_ptr<T>();
    const int32_t* const at = argmax.const_data_ptr<int32_t>();
    T* const to = input_grad.mutable_data_ptr<T>();
    const int64_t cost = 4 * w.bins * at::divup(table.count(), batch) + w.height * w.width;
    at::parallel_for(0, batch * blocks, grain(cost * kChannelBlock), [&](int64_t begin, int64_t end) {
      for (int64_t image = begin / blocks; image * blocks < end; ++image) {
        const int64_t first = std::max<int64_t>(begin - image * blocks, 0) * kChannelBlock;
        const int64_t last = std::min((end - image * blocks) * kChannelBlock, w.channels);
        kernels<T>().max_pool_backward(w, table.count(), grad_channels_last, from, at, channels_last, to, image, first,
                                       last);
      }
    });
    return input_grad;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("roi_pool", &roi_pool<Cpu>);
  m.impl("spatial_pyramid_pool", &spatial_pyramid_pool<Cpu>);
  m.impl("roi_spatial_pyramid_pool", &roi_spatial_pyramid_pool<Cpu>);
  m.impl("max_pool_backward", &max_pool_backward<Cpu>);
}

}  // namespace roibench
