// The table of pixels that a pooling operator's kernel reads: which map each window lies on, and what its bins hold.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "../dispatch/max_pool.h"
#include "kernels.h"
#include "parallel.h"

namespace roibench {

struct WindowTable {
  std::vector<Grid> grids;
  std::vector<int64_t> image;
  std::vector<Range> pixels;
  Windows windows;  // looks into the above

  // RoIs are cut as roi_pool cuts them, the last pixel belongs to the RoI; maps as adaptive pooling cuts them.
  explicit WindowTable(const Pooling& pooling) : WindowTable(pooling.size, pooling.grids, pooling.windows()) {
    if (pooling.rois.defined()) {
      set_rois(pooling.rois, pooling.scale, /*last=*/1, windows.height, windows.width);
    } else {
      set_images();
    }
  }
  // RoIs, of which `last` and the map's height and width are geometry/bins.h's, on maps of `size` [N, C, H, W].
  WindowTable(at::IntArrayRef size, const Grid& grid, const at::Tensor& rois, double scale, int64_t last,
              int64_t height, int64_t width)
      : WindowTable(size, {grid}, rois.size(0)) {
    set_rois(rois, scale, last, height, width);
  }
  WindowTable(const WindowTable&) = delete;

  int64_t count() const { return int64_t(image.size()); }

 private:
  WindowTable(at::IntArrayRef size, std::vector<Grid> levels, int64_t count) : grids(std::move(levels)), image(count) {
    windows = {size[1], size[2], size[3], grids.data(), int64_t(grids.size()), 0, 0, image.data(), nullptr};
    for (const Grid& grid : grids) {
      windows.bins += grid.rows * grid.columns;
      windows.edges += grid.rows + grid.columns;
    }
    pixels.resize(count * windows.edges);
    windows.pixels = pixels.data();
  }

  void set_images() {
    Range* to = pixels.data();
    for (int64_t k = 0; k < count(); ++k) {
      image[k] = k;
      for (const Grid& grid : grids) {
        for (int64_t i = 0; i < grid.rows; ++i) *to++ = adaptive_bin(i, windows.height, grid.rows);
        for (int64_t j = 0; j < grid.columns; ++j) *to++ = adaptive_bin(j, windows.width, grid.columns);
      }
    }
  }

  void set_rois(const at::Tensor& rois, double scale, int64_t last, int64_t height, int64_t width) {
    AT_DISPATCH_FLOATING_TYPES(rois.scalar_type(), "windows", [&] {
      const scalar_t* const from = rois.const_data_ptr<scalar_t>();
      for (int64_t k = 0; k < count(); ++k) image[k] = int64_t(from[5 * k]);
      at::parallel_for(0, count(), grain(windows.edges * 16), [&](int64_t begin, int64_t end) {
        kernels<scalar_t>().roi_bins(windows, from, scalar_t(scale), last, height, width, pixels.data(), begin, end);
      });
    });
  }
};

}  // namespace roibench
