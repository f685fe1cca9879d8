// Maps as the kernels of RoIs take them.
#pragma once

#include "../checks.h"
#include "../layout.h"
#include "kernels/feature_map.h"

namespace roibench::cuda {

// size: [N, C, H, W]. Kernels count with 32 bits the pixels of a map, the numbers of a row of pixels, and those of one
// window, channels * bins; everything else with 64.
inline FeatureMap feature_map(const char* op, at::IntArrayRef size, bool channels_last, int64_t bins) {
  check_pixels(op, size);
  TORCH_CHECK_VALUE(size[0] <= INT32_MAX && size[1] <= INT32_MAX / bins, op,
                    ": on a GPU a RoI must have fewer than 2^31 numbers, got ", size[1], " channels of ", bins,
                    " bins");
  TORCH_CHECK_VALUE(size[1] == 0 || size[3] <= INT32_MAX / size[1], op,
                    ": on a GPU a row of pixels must have fewer than 2^31 numbers, got ", size[1], " channels of ",
                    size[3], " pixels");
  return {int(size[0]), int(size[1]), int(size[2]), int(size[3]), channels_last};
}

}  // namespace roibench::cuda
