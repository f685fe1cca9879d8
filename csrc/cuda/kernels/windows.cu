// The tables that pooling kernels read. One thread per edge of a bin, and per bin; microseconds.
#include "windows.h"

#include "launch.h"

namespace roibench::cuda {
namespace {

constexpr int kThreads = 128;

}  // namespace

// span_of(window, edge): the pixels of the grid's rows, then of its columns.
template <class F>
__device__ __forceinline__ void fill_grid(const Windows& w, int g, const GridOfBins& grid, F&& span_of) {
  const int64_t step = int64_t(gridDim.x) * kThreads, thread = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int edges = grid.rows + grid.columns, bins = grid.rows * grid.columns;
  for (int64_t i = thread; i < w.count * edges; i += step) {
    const int64_t k = i / edges;
    const Range range = span_of(k, int(i % edges));
    w.edge[k * w.edges + grid.first_edge + i % edges] = {int(range.begin), int(range.end)};
  }
  for (int64_t i = thread; i < bins; i += step) {
    const int b = int(i), row = grid.first_edge + b / grid.columns;
    w.bin[grid.first_bin + b] = {row, grid.first_edge + grid.rows + b % grid.columns, grid.first_bin, bins};
  }
  if (thread == 0) w.grid[g] = grid;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    grid_of_rois_kernel(Windows w, int g, GridOfBins grid, const T* __restrict__ rois, T scale, int last, int height,
                        int width) {
  fill_grid(w, g, grid, [&](int64_t k, int e) {
    const T* const roi = rois + 5 * k;
    if (e == 0) w.image[k] = image_of(roi[0], w.map.batch);
    const bool vertical = e < grid.rows;
    const int bins = vertical ? grid.rows : grid.columns;
    const PixelBins<T> cut =
        pixel_bins(roi[vertical ? 2 : 1], roi[vertical ? 4 : 3], scale, int64_t(last), int64_t(bins));
    return cut.pixels(vertical ? e : e - grid.rows, vertical ? height : width);
  });
}

__global__ void __launch_bounds__(kThreads) grid_of_maps_kernel(Windows w, int g, GridOfBins grid) {
  fill_grid(w, g, grid, [&](int64_t k, int e) {
    if (e == 0) w.image[k] = int(k);
    return e < grid.rows ? adaptive_bin(e, w.map.height, grid.rows)
                         : adaptive_bin(e - grid.rows, w.map.width, grid.columns);
  });
}

namespace {

unsigned blocks_for(const Windows& w, const GridOfBins& grid) {
  const int64_t edges = w.count * (grid.rows + grid.columns), bins = int64_t(grid.rows) * grid.columns;
  return simt::strided_grid(edges > bins ? edges : bins, kThreads);
}

}  // namespace

template <class T>
int grid_of_rois(const Windows& windows, int g, const GridOfBins& grid, const T* rois, T scale, int last, int height,
                 int width, CUstream_st* stream) {
  return simt::launch(grid_of_rois_kernel<T>, blocks_for(windows, grid), kThreads, 0, stream, windows, g, grid, rois,
                      scale, last, height, width);
}

int grid_of_maps(const Windows& windows, int g, const GridOfBins& grid, CUstream_st* stream) {
  return simt::launch(grid_of_maps_kernel, blocks_for(windows, grid), kThreads, 0, stream, windows, g, grid);
}

template int grid_of_rois(const Windows&, int, const GridOfBins&, const float*, float, int, int, int, CUstream_st*);
template int grid_of_rois(const Windows&, int, const GridOfBins&, const double*, double, int, int, int, CUstream_st*);

}  // namespace roibench::cuda
