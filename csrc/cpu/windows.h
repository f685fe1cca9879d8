// The table of pixels that a pooling operator's kernel reads: which map each window lies on, and what its bins hold.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "../checks.h"
#include "kernels.h"
#include "parallel.h"

namespace roibench {

struct WindowTable {
  std::vector<Grid> grids;
  std::vector<int64_t> image;
  std::vector<Range> pixels;
  Windows windows;  // looks into the above

  // For maps of `size` [N, C, H, W].
  WindowTable(at::IntArrayRef size, std::vector<Grid> levels, int64_t count) : grids(std::move(levels)), image(count) {
    windows = {size[1], size[2], size[3], grids.data(), int64_t(grids.size()), 0, 0, image.data(), nullptr};
    for (const Grid& grid : grids) {
      windows.bins += grid.rows * grid.columns;
      windows.edges += grid.rows + grid.columns;
    }
  }
  WindowTable(const WindowTable&) = delete;

  int64_t count() const { return int64_t(image.size()); }

  // Windows are the maps themselves, cut as adaptive pooling cuts them.
  void set_images() {
    for (int64_t k = 0; k < count(); ++k) {
      image[k] = k;
      for (const Grid& grid : grids) {
        for (int64_t i = 0; i < grid.rows; ++i) pixels.push_back(adaptive_bin(i, windows.height, grid.rows));
        for (int64_t j = 0; j < grid.columns; ++j) pixels.push_back(adaptive_bin(j, windows.width, grid.columns));
      }
    }
    windows.pixels = pixels.data();
  }

  // Windows are RoIs, of which `last` and the map's height and width are geometry.h's.
  void set_rois(const char* op, const at::Tensor& rois, double scale, int64_t batch, int64_t last, int64_t height,
                int64_t width) {
    pixels.resize(count() * windows.edges);
    windows.pixels = pixels.data();
    const auto fill = [&]<class T>(T) {
      const T* const from = rois.const_data_ptr<T>();
      check_batch_index(op, from, count(), batch);
      for (int64_t k = 0; k < count(); ++k) image[k] = int64_t(from[5 * k]);
      at::parallel_for(0, count(), grain(windows.edges * 16), [&](int64_t begin, int64_t end) {
        kernels<T>().roi_bins(windows, from, T(scale), last, height, width, pixels.data(), begin, end);
      });
    };
    rois.scalar_type() == at::kDouble ? fill(double()) : fill(float());
  }
  // As roi_pool cuts them: the last pixel belongs to the RoI.
  void set_rois(const char* op, const at::Tensor& rois, double scale, at::IntArrayRef size) {
    set_rois(op, rois, scale, size[0], /*last=*/1, size[2], size[3]);
  }
};

}  // namespace roibench
