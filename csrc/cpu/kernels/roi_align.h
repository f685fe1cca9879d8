// RoI align: the mean of bilinear samples in each bin of a grid laid over a box (He et al. 2017).
//
// Sampling, clamping at the border and averaging all happen per axis, so that the pooled map is  Ry * feature * Rx^T
// with two sparse matrices per RoI: row = bin, entries = (pixel, weight). Samples that share a pixel share an entry.
// The matrices are the same for all channels, which lie side by side in memory: the inner loop is a vector over
// channels.
//
// Backward is the same product with the transposed matrices: it gathers, for each pixel that the RoI covers, the bins
// that saw it, and so writes each pixel once per RoI and not once per sample. RoIs add up in their order; threads own
// different channels. So the sum does not depend on the number of threads.
//
// Cost per RoI: bins * (pixels per bin) * channels multiply-adds, bound by loads from the L2 cache.

template <class T>
struct Tap {
  int64_t index;  // of the pixel or bin; offset() makes it a distance in memory
  T weight;
};

// A sparse matrix by rows, each with room for as many taps as it can have.
template <class T>
struct TapRows {
  int64_t rows, capacity;
  int64_t* count;
  Tap<T>* taps;

  const Tap<T>* row(int64_t r) const { return taps + r * capacity; }

  void clear() {
    for (int64_t r = 0; r < rows; ++r) count[r] = 0;
  }

  // Samples come in order along the axis, so that an index which was used before is among the last three.
  void add(int64_t r, int64_t index, T weight) {
    if (weight == T(0)) return;
    Tap<T>* const begin = taps + r * capacity;
    int64_t& n = count[r];
    for (int64_t k = n - 1; k >= 0 && k >= n - 3; --k) {
      if (begin[k].index == index) {
        begin[k].weight += weight;
        return;
      }
    }
    begin[n++] = {index, weight};
  }
};

// The matrix of one axis, or its transpose: rows = pixels, entries = (bin, weight).
template <bool transposed, class T>
void fill(TapRows<T>& matrix, const BinAxis<T>& axis, int64_t bins, int64_t size, int64_t stride) {
  matrix.clear();
  for (int64_t bin = 0; bin < bins; ++bin) {
    const Range range = samples_on_map(axis, bin, size);
    for (int64_t s = range.begin; s < range.end; ++s) {
      const Bilinear<T> at = bilinear(axis.sample(bin, s), size);
      if (!at.inside) continue;
      const T low = at.low_weight / T(axis.samples), high = at.high_weight / T(axis.samples);
      if constexpr (transposed) {
        matrix.add(at.low, bin * stride, low);
        matrix.add(at.high, bin * stride, high);
      } else {
        matrix.add(bin, at.low * stride, low);
        matrix.add(bin, at.high * stride, high);
      }
    }
  }
}

// Both axes of a RoI.
template <bool transposed, class T>
struct RoiTaps {
  const RoiAlign<T>& shape;
  Memory<int64_t> counts;
  Memory<Tap<T>> taps;
  TapRows<T> y, x;

  // A bin touches two pixels per sample and no pixel twice; a pixel is touched by no more than all bins.
  static int64_t capacity(const RoiAlign<T>& shape, int64_t bins, int64_t size) {
    return transposed ? bins : shape.ratio > 0 && shape.ratio < size / 2 ? 2 * shape.ratio : size;
  }
  static int64_t rows(int64_t bins, int64_t size) { return transposed ? size : bins; }

  explicit RoiTaps(const RoiAlign<T>& s)
      : shape(s),
        counts(rows(s.bins_y, s.height) + rows(s.bins_x, s.width)),
        taps(rows(s.bins_y, s.height) * capacity(s, s.bins_y, s.height) +
             rows(s.bins_x, s.width) * capacity(s, s.bins_x, s.width)),
        y{rows(s.bins_y, s.height), capacity(s, s.bins_y, s.height), counts.data, taps.data},
        x{rows(s.bins_x, s.width), capacity(s, s.bins_x, s.width), counts.data + y.rows,
          taps.data + y.rows * y.capacity} {}

  // stride_y, stride_x: between the source's rows and columns.
  void set(const T* roi, int64_t stride_y, int64_t stride_x) {
    const BinAxis<T> axis_y = bin_axis(roi[2], roi[4], shape.scale, shape.aligned, shape.bins_y, shape.ratio);
    const BinAxis<T> axis_x = bin_axis(roi[1], roi[3], shape.scale, shape.aligned, shape.bins_x, shape.ratio);
    fill<transposed>(y, axis_y, shape.bins_y, shape.height, stride_y);
    fill<transposed>(x, axis_x, shape.bins_x, shape.width, stride_x);
  }
};

// target[r, s, c] (+)= sum over taps of weight_y * weight_x * source[tap_y, tap_x, c], for channels from c on while a
// whole block of N vectors fits before `end`. Returns the first channel that is left.
template <bool add, class V, int N, class T>
int64_t gather(const TapRows<T>& y, const TapRows<T>& x, const T* source, T* target, int64_t stride_y, int64_t stride_x,
               int64_t c, int64_t end) {
  constexpr int64_t lanes = sizeof(V) / sizeof(T);
  for (; c + N * lanes <= end; c += N * lanes) {
    for (int64_t r = 0; r < y.rows; ++r) {
      if (add && y.count[r] == 0) continue;
      for (int64_t s = 0; s < x.rows; ++s) {
        if (add && x.count[s] == 0) continue;
        T* const to = target + r * stride_y + s * stride_x + c;
        V sum[N] = {};
        if constexpr (add) __builtin_memcpy(&sum, to, sizeof(sum));
        for (int64_t a = 0; a < y.count[r]; ++a) {
          const Tap<T> down = y.row(r)[a];
          for (int64_t b = 0; b < x.count[s]; ++b) {
            const Tap<T> right = x.row(s)[b];
            const T weight = down.weight * right.weight;
            const T* const from = source + down.index + right.index + c;
            for (int n = 0; n < N; ++n) sum[n] += weight * load<V>(from + n * lanes);
          }
        }
        __builtin_memcpy(to, &sum, sizeof(sum));
      }
    }
  }
  return c;
}

// One body for long vectors, single vectors and the channels that fill no vector.
template <bool add, class T>
void gather_channels(const TapRows<T>& y, const TapRows<T>& x, const T* source, T* target, int64_t stride_y,
                     int64_t stride_x, int64_t c, int64_t end) {
  c = gather<add, Vector<T>, kSums>(y, x, source, target, stride_y, stride_x, c, end);
  c = gather<add, Vector<T>, 4>(y, x, source, target, stride_y, stride_x, c, end);
  c = gather<add, Vector<T>, 1>(y, x, source, target, stride_y, stride_x, c, end);
  gather<add, T, 1>(y, x, source, target, stride_y, stride_x, c, end);
}

// Channels of a pooled map that is not stored channels-last are turned this many at a time.
constexpr int64_t kTile = 256;

template <class T>
void roi_align(const RoiAlign<T>& shape, const T* input, T* pooled, int64_t begin, int64_t end) {
  const int64_t channels = shape.channels, bins = shape.bins_y * shape.bins_x;
  RoiTaps<false, T> taps(shape);
  const Memory<T> tile(shape.pooled_channels_last ? 0 : bins * kTile);
  for (int64_t k = begin; k < end; ++k) {
    const T* const roi = shape.rois + 5 * k;
    const T* const image = input + int64_t(roi[0]) * shape.height * shape.width * channels;
    T* const out = pooled + k * bins * channels;
    taps.set(roi, shape.width * channels, channels);
    if (shape.pooled_channels_last) {
      gather_channels<false>(taps.y, taps.x, image, out, shape.bins_x * channels, channels, 0, channels);
      continue;
    }
    for (int64_t c = 0; c < channels; c += kTile) {
      const int64_t n = channels - c < kTile ? channels - c : kTile;
      gather_channels<false>(taps.y, taps.x, image + c, tile.data, shape.bins_x * kTile, kTile, 0, n);
      transpose(tile.data, bins, n, kTile, out + c * bins, bins);
    }
  }
}

template <class T>
void roi_align_backward(const RoiAlign<T>& shape, int64_t rois, const T* pooled_grad, T* input_grad, int64_t image,
                        int64_t begin, int64_t end) {
  const int64_t channels = shape.channels, bins = shape.bins_y * shape.bins_x;
  const int64_t row = shape.width * channels;
  RoiTaps<true, T> taps(shape);
  const Memory<T> tile(shape.pooled_channels_last ? 0 : bins * kTile);
  T* const out = input_grad + image * shape.height * row;
  for (int64_t k = 0; k < rois; ++k) {
    const T* const roi = shape.rois + 5 * k;
    if (int64_t(roi[0]) != image) continue;
    const T* const in = pooled_grad + k * bins * channels;
    if (shape.pooled_channels_last) {
      taps.set(roi, shape.bins_x * channels, channels);
      gather_channels<true>(taps.y, taps.x, in, out, row, channels, begin, end);
      continue;
    }
    taps.set(roi, shape.bins_x * kTile, kTile);
    for (int64_t c = begin; c < end; c += kTile) {
      const int64_t n = end - c < kTile ? end - c : kTile;
      transpose(in + c * bins, n, bins, bins, tile.data, kTile);
      gather_channels<true>(taps.y, taps.x, tile.data, out + c, row, channels, 0, n);
    }
  }
}
