// roi_pool and both pyramid poolings on any device: the largest number of each bin of windows, which are RoIs or whole
// maps. Numbers are compared as integers I of their size (rank.h). A Device has forward<I>, into a pooled map that is
// not empty and argmax if that is not, and backward<T>, which returns the gradient in the type T of the arithmetic,
// whatever type it comes in, and any order of memory.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "../checks.h"
#include "../layout.h"

namespace roibench {

struct Pooling {
  const char* op;           // what errors name
  at::IntArrayRef size;     // of the maps, [N, C, H, W]
  std::vector<Grid> grids;  // that each window is cut into
  at::Tensor rois;          // [K, 5], contiguous, in the type of the arithmetic; undefined where windows are the maps
  double scale = 1;

  int64_t windows() const { return rois.defined() ? rois.size(0) : size[0]; }
  int64_t channels() const { return size[1]; }
  int64_t bins() const {
    int64_t sum = 0;
    for (const Grid& grid : grids) sum += grid.rows * grid.columns;
    return sum;
  }
};

inline std::vector<Grid> check_levels(const char* op, at::IntArrayRef levels) {
  TORCH_CHECK_VALUE(!levels.empty(), op, ": levels must hold at least one, got none");
  std::vector<Grid> grids;
  int64_t sum = 0;
  for (const int64_t bins : levels) {
    TORCH_CHECK_VALUE(bins > 0 && bins <= kMaxPerAxis, op, ": levels must be from 1 to ", kMaxPerAxis, ", got ",
                      levels);
    grids.push_back({bins, bins});
    sum += bins * bins;
    TORCH_CHECK_VALUE(sum <= INT32_MAX, op, ": levels must have fewer than 2^31 bins, got ", levels);
  }
  return grids;
}

// The bits of the largest number, for a type in which nothing but NaN lies above.
inline int64_t infinity_bits(at::ScalarType dtype) {
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

// pooled and argmax; argmax is [windows, bins, channels] if asked for, else empty.
template <class Device>
std::tuple<at::Tensor, at::Tensor> max_pool(const at::Tensor& input, const Pooling& pooling,
                                            at::IntArrayRef pooled_size, bool channels_last, bool with_argmax) {
  check_pixels(pooling.op, input.sizes());
  const c10::DeviceGuard guard(input.device());
  if (pooling.rois.defined()) check_images(pooling.op, pooling.rois, input.size(0));
  const auto places = input.options().dtype(at::kInt);
  at::Tensor pooled = at::empty(pooled_size, input.options().memory_format(format(channels_last)));
  at::Tensor argmax =
      with_argmax ? at::empty({pooling.windows(), pooling.bins(), pooling.channels()}, places) : at::empty({0}, places);
  if (pooled.numel() == 0) return {pooled, argmax};
  const int64_t infinity = infinity_bits(input.scalar_type());
  switch (input.element_size()) {
    case 2:
      Device::forward(pooling, input, int16_t(infinity), channels_last, pooled, argmax);
      break;
    case 4:
      Device::forward(pooling, input, int32_t(infinity), channels_last, pooled, argmax);
      break;
    default:
      Device::forward(pooling, input, infinity, channels_last, pooled, argmax);
  }
  return {pooled, argmax};
}

inline at::Tensor check_rois_of_map(const char* op, const at::Tensor& input, const at::Tensor& rois) {
  check_map(op, input);
  check_rois(op, rois, input);
  return as(rois, arithmetic(input, input), at::MemoryFormat::Contiguous);
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> roi_pool(const at::Tensor& input, const at::Tensor& rois, double spatial_scale,
                                            int64_t pooled_height, int64_t pooled_width, bool with_argmax) {
  constexpr const char* op = "roi_pool";
  const at::Tensor boxes = check_rois_of_map(op, input, rois);
  check_output_size(op, pooled_height, pooled_width);
  return max_pool<Device>(input, {op, input.sizes(), {{pooled_height, pooled_width}}, boxes, spatial_scale},
                          {rois.size(0), input.size(1), pooled_height, pooled_width}, is_channels_last(input),
                          with_argmax);
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> spatial_pyramid_pool(const at::Tensor& input, at::IntArrayRef levels,
                                                        bool with_argmax) {
  constexpr const char* op = "spatial_pyramid_pool";
  check_map(op, input);
  const Pooling pooling = {op, input.sizes(), check_levels(op, levels), at::Tensor()};
  return max_pool<Device>(input, pooling, {input.size(0), input.size(1) * pooling.bins()},
                          /*channels_last=*/false, with_argmax);
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> roi_spatial_pyramid_pool(const at::Tensor& input, const at::Tensor& rois,
                                                            at::IntArrayRef levels, double spatial_scale,
                                                            bool with_argmax) {
  constexpr const char* op = "roi_spatial_pyramid_pool";
  const at::Tensor boxes = check_rois_of_map(op, input, rois);
  const Pooling pooling = {op, input.sizes(), check_levels(op, levels), boxes, spatial_scale};
  return max_pool<Device>(input, pooling, {rois.size(0), input.size(1) * pooling.bins()}, /*channels_last=*/false,
                          with_argmax);
}

template <class Device>
at::Tensor max_pool_backward(const at::Tensor& grad, const at::Tensor& argmax, const std::optional<at::Tensor>& rois,
                             double spatial_scale, at::IntArrayRef input_size, at::IntArrayRef grids,
                             bool channels_last) {
  constexpr const char* op = "max_pool_backward";
  check_input_size(op, input_size);
  TORCH_CHECK_VALUE(grids.size() % 2 == 0 &&
                        std::all_of(grids.begin(), grids.end(), [](int64_t n) { return n > 0 && n <= kMaxPerAxis; }),
                    op, ": grids must be pairs (rows, columns) from 1 to ", kMaxPerAxis, ", got ", grids);
  check_floating(op, "grad", grad);
  check_pixels(op, input_size);
  const auto dtype = arithmetic(grad, grad);
  Pooling pooling = {op, input_size, {}, at::Tensor(), spatial_scale};
  for (size_t i = 0; i < grids.size(); i += 2) pooling.grids.push_back({grids[i], grids[i + 1]});
  if (rois) {
    check_rois(op, *rois, grad);
    pooling.rois = as(*rois, dtype, at::MemoryFormat::Contiguous);
  }
  const at::DimVector places = {pooling.windows(), pooling.bins(), pooling.channels()};
  TORCH_CHECK_VALUE(argmax.sizes() == at::IntArrayRef(places), op, ": argmax must have the shape ",
                    at::IntArrayRef(places), ", got ", argmax.sizes());
  TORCH_CHECK_TYPE(argmax.scalar_type() == at::kInt, op, ": argmax must be int32, got ", argmax.scalar_type());
  check_same_device(op, "argmax", argmax, grad);
  TORCH_CHECK_VALUE(grad.dim() >= 2 && grad.size(0) == pooling.windows() && grad.numel() == argmax.numel(), op,
                    ": grad must have a number for each of argmax, ", argmax.sizes(), ", got ", grad.sizes());

  const c10::DeviceGuard guard(grad.device());
  if (rois) check_images(op, pooling.rois, input_size[0]);
  if (grad.numel() == 0 || c10::multiply_integers(input_size) == 0) {
    return zeros(input_size, grad.options(), format(channels_last));
  }
  const bool grad_channels_last = grad.dim() == 4 && is_channels_last(grad);
  const at::Tensor from = grad.contiguous(format(grad_channels_last));
  at::Tensor input_grad;
  AT_DISPATCH_FLOATING_TYPES(dtype, op, [&] {
    input_grad =
        Device::template backward<scalar_t>(pooling, from, grad_channels_last, argmax.contiguous(), channels_last);
  });
  return as(input_grad, grad.scalar_type(), format(channels_last));
}

}  // namespace roibench
