// Position-sensitive RoI pooling: output channel o of bin b is the mean of that bin in the map's channel o * bins + b.
//
// So every channel of the map is read in one bin of each RoI only. Planes that lie in one piece are taken one after
// another, each for all RoIs, so that it stays in the L1 cache; RoIs whose bins have the same number of pixels follow
// each other, because a loop of two or three rounds costs less than guessing wrongly how many. Where the channels of a
// pixel lie side by side, RoIs are taken one after another. Either way threads own channels, and a pixel's gradients
// are added in an order that doesn't depend on them.

// A RoI's bin on its map.
struct PsBin {
  int64_t roi, first;  // first: its first pixel's offset in the batch, for channel 0
  int32_t rows, columns;
};

inline PsBin ps_bin(const Windows& w, int64_t k, int64_t bin, int64_t step) {
  const Grid grid = w.grids[0];
  const Range* const pixels = w.pixels + k * w.edges;
  const Range y = pixels[bin / grid.columns], x = pixels[grid.rows + bin % grid.columns];
  return {k, w.image[k] * w.height * w.width * w.channels + (y.begin * w.width + x.begin) * step,
          int32_t(y.end - y.begin), int32_t(x.end - x.begin)};
}

// Bin `bin` of all RoIs, by its number of rows and columns, as far as that is below 4.
inline void sort_by_size(const Windows& w, int64_t n, int64_t bin, PsBin* sorted) {
  const auto size = [](const PsBin& b) __attribute__((always_inline)) {
    return 4 * (b.rows < 3 ? b.rows : 3) + (b.columns < 3 ? b.columns : 3);
  };
  int64_t place[17] = {};
  for (int64_t k = 0; k < n; ++k) ++place[size(ps_bin(w, k, bin, 1)) + 1];
  for (int s = 1; s < 17; ++s) place[s] += place[s - 1];
  for (int64_t k = 0; k < n; ++k) {
    const PsBin b = ps_bin(w, k, bin, 1);
    sorted[place[size(b)]++] = b;
  }
}

// Calls f(bin, channel, offset of the channel in a map) for channels [begin, end), counted bin by bin, and all RoIs.
template <class F>
inline void for_each_bin(const Windows& w, int64_t n, bool channels_last, int64_t begin, int64_t end, F&& f) {
  const int64_t outputs = w.channels / w.bins;
  if (channels_last) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t i = begin; i < end;) {
        const int64_t bin = i / outputs, next = (bin + 1) * outputs;
        const PsBin b = ps_bin(w, k, bin, w.channels);
        for (; i < end && i < next; ++i) f(b, i % outputs * w.bins + bin, i % outputs * w.bins + bin);
      }
    }
    return;
  }
  const Memory<PsBin> sorted(n);
  for (int64_t i = begin; i < end;) {
    const int64_t bin = i / outputs, next = (bin + 1) * outputs;
    sort_by_size(w, n, bin, sorted.data);
    for (; i < end && i < next; ++i) {
      const int64_t channel = i % outputs * w.bins + bin;
      for (int64_t k = 0; k < n; ++k) f(sorted.data[k], channel, channel * w.height * w.width);
    }
  }
}

template <class T>
void ps_roi_pool(const Windows& w, int64_t n, bool channels_last, const T* input, T* pooled, int64_t begin,
                 int64_t end) {
  const int64_t step = channels_last ? w.channels : 1, row_step = w.width * step;
  for_each_bin(w, n, channels_last, begin, end, [&](const PsBin& b, int64_t channel, int64_t offset) {
    const T* row = input + b.first + offset;
    T sum = 0;
    for (int32_t i = 0; i < b.rows; ++i, row += row_step) {
      for (int32_t j = 0; j < b.columns; ++j) sum += row[j * step];
    }
    const int64_t area = int64_t(b.rows) * b.columns;
    pooled[b.roi * w.channels + channel] = area == 0 ? T(0) : sum / T(area);
  });
}

template <class T>
void ps_roi_pool_backward(const Windows& w, int64_t n, bool channels_last, const T* pooled_grad, T* input_grad,
                          int64_t begin, int64_t end) {
  const int64_t step = channels_last ? w.channels : 1, row_step = w.width * step;
  for_each_bin(w, n, channels_last, begin, end, [&](const PsBin& b, int64_t channel, int64_t offset) {
    T* row = input_grad + b.first + offset;
    const T share = pooled_grad[b.roi * w.channels + channel] / T(int64_t(b.rows) * b.columns);
    for (int32_t i = 0; i < b.rows; ++i, row += row_step) {
      for (int32_t j = 0; j < b.columns; ++j) row[j * step] += share;
    }
  });
}
