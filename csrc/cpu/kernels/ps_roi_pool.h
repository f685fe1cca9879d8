// Position-sensitive RoI pooling: output channel o of bin b is the mean of that bin in the map's channel o * bins + b.
//
// So every channel of the map is read in one bin of each RoI only. Planes that lie in one piece are taken one after
// another, each for all RoIs: it stays in the L1 cache. Where the channels of a pixel lie side by side, RoIs are taken
// one after another. Either way a pixel's gradient is the sum over RoIs in their order, whatever the threads.

// Calls f(channel, offset of its map in memory, RoI, rows, columns) for channels [begin, end) and all RoIs.
template <class F>
inline void for_each_bin(const Windows& w, int64_t n, bool channels_last, int64_t begin, int64_t end, F&& f) {
  const Grid grid = w.grids[0];
  const int64_t plane = w.height * w.width;
  const auto visit = [&](int64_t c, int64_t k) __attribute__((always_inline)) {
    const int64_t bin = c % w.bins;
    const Range* const pixels = w.pixels + k * w.edges;
    const int64_t map = w.image[k] * plane * w.channels + c * (channels_last ? 1 : plane);
    f(c, map, k, pixels[bin / grid.columns], pixels[grid.rows + bin % grid.columns]);
  };
  if (channels_last) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t c = begin; c < end; ++c) visit(c, k);
    }
  } else {
    for (int64_t c = begin; c < end; ++c) {
      for (int64_t k = 0; k < n; ++k) visit(c, k);
    }
  }
}

template <class T>
void ps_roi_pool(const Windows& w, int64_t n, bool channels_last, const T* input, T* pooled, int64_t begin,
                 int64_t end) {
  const int64_t step = channels_last ? w.channels : 1;
  for_each_bin(w, n, channels_last, begin, end, [&](int64_t c, int64_t map, int64_t k, Range y, Range x) {
    T sum = 0;
    for (int64_t row = y.begin; row < y.end; ++row) {
      const T* const from = input + map + row * w.width * step;
      for (int64_t column = x.begin; column < x.end; ++column) sum += from[column * step];
    }
    const int64_t area = (y.end - y.begin) * (x.end - x.begin);
    pooled[k * w.channels + c] = area == 0 ? T(0) : sum / T(area);
  });
}

template <class T>
void ps_roi_pool_backward(const Windows& w, int64_t n, bool channels_last, const T* pooled_grad, T* input_grad,
                          int64_t begin, int64_t end) {
  const int64_t step = channels_last ? w.channels : 1;
  for_each_bin(w, n, channels_last, begin, end, [&](int64_t c, int64_t map, int64_t k, Range y, Range x) {
    const T share = pooled_grad[k * w.channels + c] / T((y.end - y.begin) * (x.end - x.begin));
    for (int64_t row = y.begin; row < y.end; ++row) {
      T* const to = input_grad + map + row * w.width * step;
      for (int64_t column = x.begin; column < x.end; ++column) to[column * step] += share;
    }
  });
}
