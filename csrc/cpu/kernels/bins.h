// Which pixels the bins of a RoI hold: the same for every channel, so found once, in a table.

template <class T>
void roi_bins(const Windows& windows, const T* rois, T scale, int64_t last, int64_t height, int64_t width,
              Range* pixels, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; ++k) {
    const T* const roi = rois + 5 * k;
    Range* to = pixels + k * windows.edges;
    for (int64_t level = 0; level < windows.levels; ++level) {
      const Grid grid = windows.grids[level];
      const PixelBins<T> y = pixel_bins(roi[2], roi[4], scale, last, grid.rows);
      const PixelBins<T> x = pixel_bins(roi[1], roi[3], scale, last, grid.columns);
      for (int64_t i = 0; i < grid.rows; ++i) *to++ = y.pixels(i, height);
      for (int64_t j = 0; j < grid.columns; ++j) *to++ = x.pixels(j, width);
    }
  }
}
