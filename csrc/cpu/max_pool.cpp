#include "max_pool.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "../layout.h"

namespace roibench {
namespace {

using at::MemoryFormat;

// The bits of the largest number, for a type in which nothing but NaN lies above.
int64_t infinity(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return 0x7ff0000000000000;
    case at::kFloat:
      return 0x7f800000;
    case at::kBFloat16:
      return 0x7f80;
    default:
      return 0x7c00;
  }
}

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

template <class I>
void pool(const at::Tensor& input, const WindowTable& table, bool channels_last, at::Tensor& pooled,
          at::Tensor& argmax) {
  constexpr at::ScalarType bits = c10::CppTypeToScalarType<I>::value;
  const Windows& w = table.windows;
  const int64_t batch = input.size(0), pixels = w.height * w.width, runs = at::divup(pixels, kPixels);
  const bool input_channels_last = is_channels_last(input);
  const at::Tensor source = input_channels_last ? input : input.contiguous();
  const at::Tensor ordered = at::empty({batch, pixels, w.channels}, input.options().dtype(bits));
  const I* const from = static_cast<const I*>(source.const_data_ptr());
  I* const in_order = ordered.mutable_data_ptr<I>();
  const std::vector<char> seen = runs_in_windows(w, table.count(), runs, batch);
  at::parallel_for(0, batch * runs, grain(kPixels * w.channels), [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run) {
      if (!seen[run]) continue;
      const int64_t map = run / runs * pixels * w.channels, first = run % runs * kPixels;
      order_kernels<I>().to_order(from + map, in_order + map, w.channels, pixels, input_channels_last,
                                  I(infinity(input.scalar_type())), first, std::min(first + kPixels, pixels));
    }
  });

  I* const to = static_cast<I*>(pooled.mutable_data_ptr());
  int32_t* const at = argmax.numel() == 0 ? nullptr : argmax.mutable_data_ptr<int32_t>();
  at::parallel_for(
      0, table.count() * at::divup(w.channels, kPoolBlock), grain(w.bins * kPoolBlock),
      [&](int64_t begin, int64_t end) { order_kernels<I>().max_pool(w, in_order, channels_last, to, at, begin, end); });
}

template <class T>
void backward(const WindowTable& table, bool grad_channels_last, const at::Tensor& grad, const at::Tensor& argmax,
              bool channels_last, at::Tensor& input_grad) {
  constexpr int64_t block = 16;  // channels: a cache line of floats, so that threads don't write to each other's lines
  const Windows& w = table.windows;
  const int64_t batch = input_grad.size(0), blocks = at::divup(w.channels, block);
  const T* const from = grad.const_data_ptr<T>();
  const int32_t* const at = argmax.const_data_ptr<int32_t>();
  T* const to = input_grad.mutable_data_ptr<T>();
  const int64_t cost = 4 * w.bins * at::divup(table.count(), batch) + w.height * w.width;
  at::parallel_for(0, batch * blocks, grain(cost * block), [&](int64_t begin, int64_t end) {
    for (int64_t image = begin / blocks; image * blocks < end; ++image) {
      const int64_t first = std::max<int64_t>(begin - image * blocks, 0) * block;
      const int64_t last = std::min((end - image * blocks) * block, w.channels);
      kernels<T>().max_pool_backward(w, table.count(), grad_channels_last, from, at, channels_last, to, image, first,
                                     last);
    }
  });
}

at::Tensor max_pool_backward(const at::Tensor& grad, const at::Tensor& argmax, const std::optional<at::Tensor>& rois,
                             double spatial_scale, at::IntArrayRef input_size, at::IntArrayRef grids,
                             bool channels_last) {
  constexpr const char* op = "max_pool_backward";
  TORCH_CHECK_VALUE(input_size.size() == 4, op, ": input_size must be (N, C, H, W), got ", input_size);
  TORCH_CHECK_VALUE(grids.size() % 2 == 0 && std::all_of(grids.begin(), grids.end(), [](int64_t n) { return n > 0; }),
                    op, ": grids must be pairs of positive integers (rows, columns), got ", grids);
  check_floating(op, "grad", grad);
  std::vector<Grid> levels;
  for (size_t i = 0; i < grids.size(); i += 2) levels.push_back({grids[i], grids[i + 1]});
  const int64_t count = rois ? rois->size(0) : input_size[0];
  WindowTable table(input_size, std::move(levels), count);
  const at::DimVector places = {count, table.windows.bins, input_size[1]};
  TORCH_CHECK_VALUE(argmax.sizes() == at::IntArrayRef(places), op, ": argmax must have the shape ",
                    at::IntArrayRef(places), ", got ", argmax.sizes());
  TORCH_CHECK_TYPE(argmax.scalar_type() == at::kInt, op, ": argmax must be int32, got ", argmax.scalar_type());
  check_same_device(op, "argmax", argmax, grad);
  TORCH_CHECK_VALUE(grad.dim() >= 2 && grad.size(0) == count && grad.numel() == argmax.numel(), op,
                    ": grad must have a number for each of argmax, ", argmax.sizes(), ", got ", grad.sizes());

  const auto dtype = arithmetic(grad, grad);
  if (rois) {
    check_rois(op, *rois, grad);
    table.set_rois(op, as(*rois, dtype, MemoryFormat::Contiguous), spatial_scale, input_size);
  } else {
    table.set_images();
  }
  if (grad.numel() == 0 || c10::multiply_integers(input_size) == 0) {
    return at::zeros(input_size, grad.options()).contiguous(format(channels_last));
  }
  at::Tensor input_grad = at::empty(input_size, grad.options().dtype(dtype).memory_format(format(channels_last)));
  const bool grad_channels_last = grad.dim() == 4 && is_channels_last(grad);
  const at::Tensor wide = as(grad, dtype, format(grad_channels_last)), from = argmax.contiguous();
  dtype == at::kDouble ? backward<double>(table, grad_channels_last, wide, from, channels_last, input_grad)
                       : backward<float>(table, grad_channels_last, wide, from, channels_last, input_grad);
  return input_grad.to(grad.scalar_type());
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> max_pool(const at::Tensor& input, const WindowTable& table,
                                            at::IntArrayRef pooled_size, bool channels_last, bool with_argmax) {
  const Windows& w = table.windows;
  at::Tensor pooled = at::empty(pooled_size, input.options().memory_format(format(channels_last)));
  const auto places = input.options().dtype(at::kInt);
  at::Tensor argmax = with_argmax ? at::empty({table.count(), w.bins, w.channels}, places) : at::empty({0}, places);
  if (pooled.numel() == 0) return {pooled, argmax};
  if (input.numel() == 0) return {pooled.zero_(), argmax.fill_(-1)};
  switch (input.element_size()) {
    case 2:
      pool<int16_t>(input, table, channels_last, pooled, argmax);
      break;
    case 4:
      pool<int32_t>(input, table, channels_last, pooled, argmax);
      break;
    default:
      pool<int64_t>(input, table, channels_last, pooled, argmax);
  }
  return {pooled, argmax};
}

std::tuple<at::Tensor, at::Tensor> max_pool_rois(const char* op, const at::Tensor& input, const at::Tensor& rois,
                                                 double spatial_scale, std::vector<Grid> levels,
                                                 at::IntArrayRef pooled_size, bool channels_last, bool with_argmax) {
  check_pixels(op, input);
  WindowTable table(input.sizes(), std::move(levels), rois.size(0));
  const at::Tensor boxes = as(rois, arithmetic(input, input), MemoryFormat::Contiguous);
  table.set_rois(op, boxes, spatial_scale, input.sizes());
  return max_pool(input, table, pooled_size, channels_last, with_argmax);
}

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("max_pool_backward", &max_pool_backward);
}

}  // namespace roibench
