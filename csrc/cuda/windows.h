// The tables that pooling kernels read, in memory of the device.
#pragma once

#include <ATen/ops/empty.h>

#include <vector>

#include "feature_map.h"
#include "kernels/windows.h"
#include "stream.h"

namespace roibench::cuda {

class WindowTables {
 public:
  // `count` windows on maps of `size` [N, C, H, W]. fill(table, g, grid) launches what fills the tables of a grid.
  template <class Fill>
  WindowTables(const char* op, at::IntArrayRef size, bool channels_last, const std::vector<Grid>& grids, int64_t count,
               at::TensorOptions options, Fill&& fill) {
    int64_t bins = 0;
    for (const Grid& grid : grids) bins += grid.rows * grid.columns;
    windows_ = {.map = feature_map(op, size, channels_last, bins), .count = count, .grids = int(grids.size())};
    std::vector<GridOfBins> placed;
    for (const Grid& grid : grids) {
      placed.push_back({int(grid.rows), int(grid.columns), windows_.bins, windows_.edges});
      windows_.bins += int(grid.rows * grid.columns);
      windows_.edges += int(grid.rows + grid.columns);
    }
    memory_ = at::empty({windows_.bytes()}, options.dtype(at::kByte));
    windows_.lay_out(memory_.mutable_data_ptr());
    for (int g = 0; g < windows_.grids; ++g) check_launch(fill(windows_, g, placed[g]));
  }

  const Windows& operator*() const { return windows_; }

 private:
  Windows windows_;
  at::Tensor memory_;
};

// Windows that are RoIs, of which `last` and the map's height and width are geometry/bins.h's.
inline WindowTables windows_of_rois(const char* op, at::IntArrayRef size, bool channels_last,
                                    const std::vector<Grid>& grids, const at::Tensor& rois, double scale, int64_t last,
                                    int64_t height, int64_t width) {
  const auto fill = [&](const Windows& windows, int g, const GridOfBins& grid) {
    const auto stream = current_stream();
    return rois.scalar_type() == at::kDouble ? grid_of_rois(windows, g, grid, rois.const_data_ptr<double>(), scale,
                                                            int(last), int(height), int(width), stream)
                                             : grid_of_rois(windows, g, grid, rois.const_data_ptr<float>(),
                                                            float(scale), int(last), int(height), int(width), stream);
  };
  return WindowTables(op, size, channels_last, grids, rois.size(0), rois.options(), fill);
}

}  // namespace roibench::cuda
