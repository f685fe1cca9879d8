// Windows of feature maps, each cut into one or several grids of bins: which map each lies on, and which pixels its
// bins hold. The same for every channel, so written once, by kernels, into tables in device memory.
#pragma once

#include "feature_map.h"

struct CUstream_st;

namespace roibench::cuda {

// A grid of bins, and where its first bin and its first edge stand among those of the window.
struct alignas(16) GridOfBins {
  int rows, columns, first_bin, first_edge;
};

// A bin: its edges among those of the window; the first bin of its grid, and how many bins the grid has.
struct alignas(16) Bin {
  int row, column, first_bin, bins;
};

struct Windows {
  FeatureMap map;
  int64_t count = 0;
  int grids = 0, bins = 0, edges = 0;  // of a window; bins and edges, rows and columns of bins, summed over its grids
  GridOfBins* grid = nullptr;          // [grids]
  Bin* bin = nullptr;                  // [bins]
  Span* edge = nullptr;  // [count, edges]: the pixel rows of a grid's rows, then the columns of its columns
  int* image = nullptr;  // [count], or -1 where there is no such map

  // Memory in bytes, and its division.
  int64_t bytes() const {
    return grids * sizeof(GridOfBins) + bins * sizeof(Bin) + count * (edges * sizeof(Span) + sizeof(int));
  }
  void lay_out(void* memory) {
    grid = static_cast<GridOfBins*>(memory);
    bin = reinterpret_cast<Bin*>(grid + grids);
    edge = reinterpret_cast<Span*>(bin + bins);
    image = reinterpret_cast<int*>(edge + count * edges);
  }

  // Where bin b's number of channel c lies in the pooled map of window k.
  ROIBENCH_HD int64_t pooled_at(bool channels_last, int64_t k, int b, const Bin& of, int c) const {
    if (channels_last) return (k * bins + b) * map.channels + c;
    return (k * bins + of.first_bin) * map.channels + int64_t(c) * of.bins + b - of.first_bin;
  }
  // Between its channels.
  ROIBENCH_HD int64_t pooled_step(bool channels_last, const Bin& of) const { return channels_last ? 1 : of.bins; }
};

// The g-th grid of windows that are RoIs: [count, 5], cut as pixel_bins() of geometry/bins.h cuts them on maps of
// height x width.
template <class T>
int grid_of_rois(const Windows& windows, int g, const GridOfBins& grid, const T* rois, T scale, int last, int height,
                 int width, CUstream_st* stream);

// The g-th grid of windows that are the maps themselves, cut as adaptive pooling cuts them.
int grid_of_maps(const Windows& windows, int g, const GridOfBins& grid, CUstream_st* stream);

}  // namespace roibench::cuda
