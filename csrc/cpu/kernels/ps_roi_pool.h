// Position-sensitive RoI pooling: output channel o of bin b is the mean of that bin in the map's channel o * bins + b.
//
// So every channel of the map is read in one bin of each RoI only. Planes that lie in one piece are taken a few at
// a time, each for all RoIs, so that they stay in the cache; RoIs whose bins have the same number of pixels follow each
// other, because a loop of two or three rounds costs less than guessing wrongly how many. Where the channels of a
// pixel lie side by side, RoIs are taken one after another. Either way threads own bins, that is, channels of the map,
// and a pixel's gradients are added in an order that doesn't depend on them.

// A RoI's bin on its map.
struct PsBin {
  int64_t roi, first;  // first: its first pixel's offset in the batch, for channel 0
  int32_t rows, columns;
};

// step: between neighbouring pixels in memory.
inline PsBin ps_bin(const Windows& w, int64_t k, int64_t row, int64_t column, int64_t step) {
  const Range* const pixels = w.pixels + k * w.edges;
  const Range y = pixels[row], x = pixels[w.grids[0].rows + column];
  return {k, w.image[k] * w.height * w.width * w.channels + (y.begin * w.width + x.begin) * step,
          int32_t(y.end - y.begin), int32_t(x.end - x.begin)};
}

// Bin `bin` of all RoIs, by its number of rows and columns, as far as that is below 4.
inline void sort_by_size(const Windows& w, int64_t n, int64_t bin, PsBin* sorted) {
  const auto size = [](const PsBin& b) __attribute__((always_inline)) {
    return 4 * (b.rows < 3 ? b.rows : 3) + (b.columns < 3 ? b.columns : 3);
  };
  const int64_t row = bin / w.grids[0].columns, column = bin % w.grids[0].columns;
  int64_t place[17] = {};
  for (int64_t k = 0; k < n; ++k) ++place[size(ps_bin(w, k, row, column, 1)) + 1];
  for (int s = 1; s < 17; ++s) place[s] += place[s - 1];
  for (int64_t k = 0; k < n; ++k) {
    const PsBin b = ps_bin(w, k, row, column, 1);
    sorted[place[size(b)]++] = b;
  }
}

// How many planes are taken at once: a RoI's bin lies at the same place in each, so that the loops over its pixels,
// whose ends the processor guesses wrongly, are paid for once.
template <int n>
struct Planes {
  static constexpr int count = n;
};

// RoIs whose pixels are on their way to the cache while those of another are added up.
constexpr int64_t kAhead = 16;

// Calls f(planes, RoI's bin, the first one's offset in a map, its output) for all channels of bin `bin`, and all RoIs.
template <class T, class F>
inline void for_each_roi(const Windows& w, int64_t n, int64_t bin, const T* map, PsBin* sorted, F&& f) {
  sort_by_size(w, n, bin, sorted);
  const int64_t outputs = w.channels / w.bins, plane = w.bins * w.height * w.width;
  int64_t output = 0;
  const auto take = [&](auto planes) __attribute__((always_inline)) {
    for (; output + planes.count <= outputs; output += planes.count) {
      const int64_t offset = (output * w.bins + bin) * w.height * w.width;
      for (int64_t k = 0; k < n; ++k) {
        const PsBin& later = sorted[k + kAhead < n ? k + kAhead : k];
        const T* const first = map + later.first + offset;
        const int64_t last = (later.rows > 1 ? later.rows - 1 : 0) * w.width;
        for (int p = 0; p < planes.count; ++p) {
          __builtin_prefetch(first + p * plane);
          __builtin_prefetch(first + p * plane + last);
        }
        f(planes, sorted[k], offset, output);
      }
    }
  };
  take(Planes<4>());
  take(Planes<2>());
  take(Planes<1>());
}

// row: the bin's first pixel in the first plane; row_step, step, plane: between rows, columns and planes in memory.
template <int planes, class T>
inline void means_of_bin(const PsBin& b, const T* row, int64_t row_step, int64_t step, int64_t plane, T* to,
                         int64_t to_step) {
  T sum[planes] = {};
  for (int32_t i = 0; i < b.rows; ++i, row += row_step) {
    for (int32_t j = 0; j < b.columns; ++j) {
      for (int p = 0; p < planes; ++p) sum[p] += row[j * step + p * plane];
    }
  }
  const int64_t area = int64_t(b.rows) * b.columns;
  for (int p = 0; p < planes; ++p) to[p * to_step] = area == 0 ? T(0) : sum[p] / T(area);
}

template <int planes, class T>
inline void spread_to_bin(const PsBin& b, const T* grad, int64_t grad_step, T* row, int64_t row_step, int64_t step,
                          int64_t plane) {
  T share[planes];
  for (int p = 0; p < planes; ++p) share[p] = grad[p * grad_step] / T(int64_t(b.rows) * b.columns);
  for (int32_t i = 0; i < b.rows; ++i, row += row_step) {
    for (int32_t j = 0; j < b.columns; ++j) {
      for (int p = 0; p < planes; ++p) row[j * step + p * plane] += share[p];
    }
  }
}

// Bins whose results are collected, RoIs side by side, before they are turned into the pooled map: writing each to its
// place would touch one cache line per number.
constexpr int64_t kBinBlock = 16;

template <class T>
void ps_roi_pool(const Windows& w, int64_t n, bool channels_last, const T* input, T* pooled, int64_t begin,
                 int64_t end) {
  const int64_t outputs = w.channels / w.bins;
  if (channels_last) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t bin = begin; bin < end; ++bin) {
        const PsBin b = ps_bin(w, k, bin / w.grids[0].columns, bin % w.grids[0].columns, w.channels);
        for (int64_t c = bin; c < w.channels; c += w.bins) {
          means_of_bin<1>(b, input + b.first + c, w.width * w.channels, w.channels, 0, pooled + k * w.channels + c, 0);
        }
      }
    }
    return;
  }
  const int64_t plane = w.bins * w.height * w.width;  // to the next output's
  const Memory<PsBin> sorted(n);
  const Memory<T> tile(kBinBlock * outputs * n);
  for (int64_t first = begin; first < end; first += kBinBlock) {
    const int64_t bins = end - first < kBinBlock ? end - first : kBinBlock;
    for (int64_t bin = 0; bin < bins; ++bin) {
      const auto mean = [&](auto planes, const PsBin& b, int64_t offset, int64_t output) {
        T* const to = tile.data + (output * bins + bin) * n + b.roi;
        means_of_bin<planes.count>(b, input + b.first + offset, w.width, 1, plane, to, bins * n);
      };
      for_each_roi(w, n, first + bin, input, sorted.data, mean);
    }
    for (int64_t output = 0; output < outputs; ++output) {
      transpose(tile.data + output * bins * n, bins, n, n, pooled + output * w.bins + first, w.channels);
    }
  }
}

template <class T>
void ps_roi_pool_backward(const Windows& w, int64_t n, bool channels_last, const T* pooled_grad, T* input_grad,
                          int64_t begin, int64_t end) {
  if (channels_last) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t bin = begin; bin < end; ++bin) {
        const PsBin b = ps_bin(w, k, bin / w.grids[0].columns, bin % w.grids[0].columns, w.channels);
        for (int64_t c = bin; c < w.channels; c += w.bins) {
          spread_to_bin<1>(b, pooled_grad + k * w.channels + c, 0, input_grad + b.first + c, w.width * w.channels,
                           w.channels, 0);
        }
      }
    }
    return;
  }
  const int64_t plane = w.bins * w.height * w.width;  // to the next output's
  const Memory<PsBin> sorted(n);
  for (int64_t bin = begin; bin < end; ++bin) {
    const auto spread = [&](auto planes, const PsBin& b, int64_t offset, int64_t output) {
      const T* const grad = pooled_grad + b.roi * w.channels + output * w.bins + bin;
      spread_to_bin<planes.count>(b, grad, w.bins, input_grad + b.first + offset, w.width, 1, plane);
    };
    for_each_roi<T>(w, n, bin, input_grad, sorted.data, spread);
  }
}
