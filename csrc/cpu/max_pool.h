// Max pooling over the bins of windows: what roi_pool and both pyramid poolings do, once they know the windows.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "windows.h"

namespace roibench {

// Where each number came from is an int32 pixel.
inline void check_pixels(const char* op, const at::Tensor& input) {
  TORCH_CHECK_VALUE(input.size(2) == 0 || input.size(3) <= INT32_MAX / input.size(2), op,
                    ": input must have fewer than 2^31 pixels, got ", input.size(2), " x ", input.size(3));
}

// pooled and argmax; argmax is [windows, bins, channels] if asked for, else empty.
std::tuple<at::Tensor, at::Tensor> max_pool(const at::Tensor& input, const WindowTable& table,
                                            at::IntArrayRef pooled_size, bool channels_last, bool with_argmax);

// The same over RoIs. Each level pools as roi_pool does.
std::tuple<at::Tensor, at::Tensor> max_pool_rois(const char* op, const at::Tensor& input, const at::Tensor& rois,
                                                 double spatial_scale, std::vector<Grid> levels,
                                                 at::IntArrayRef pooled_size, bool channels_last, bool with_argmax);

}  // namespace roibench
