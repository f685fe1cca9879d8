// Feature maps as the kernels of RoIs read them: [batch, channels, height, width], in either order of memory.
#pragma once

#include "../../geometry/bins.h"

namespace roibench::cuda {

struct FeatureMap {
  int batch, channels, height, width;
  bool channels_last;

  // How far apart two neighbours lie in memory.
  ROIBENCH_HD int pixel_step() const { return channels_last ? channels : 1; }
  ROIBENCH_HD int64_t channel_step() const { return channels_last ? 1 : int64_t(height) * width; }
  ROIBENCH_HD int64_t image_step() const { return int64_t(channels) * height * width; }
};

// [begin, end) of pixels, or of places in a table.
struct alignas(8) Span {
  int begin, end;

  ROIBENCH_HD bool holds(int i) const { return begin <= i && i < end; }
};

// The map that a RoI lies on; -1, where there is no such map.
template <class T>
ROIBENCH_HD int image_of(T index, int batch) {
  return index >= T(0) && index < T(batch) ? int(index) : -1;
}

}  // namespace roibench::cuda
