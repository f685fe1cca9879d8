// The largest number of each bin, and where it lies.
//
// Numbers are compared as integers (rank.h): one instruction per vector. The map is turned into such integers once,
// with the channels of a pixel side by side, so that the loops over a bin run for a whole vector of channels.
//
// Cost per window: pixels of its bins * channels, from the L2 cache; with small bins writing the result costs more.

template <class V, class I>
int64_t to_ranks(const I* from, I* to, I infinity, int64_t i, int64_t end) {
  constexpr int64_t lanes = sizeof(V) / sizeof(I);
  for (; i + lanes <= end; i += lanes) store(to + i, rank_of<I>(load<V>(from + i), infinity));
  return i;
}

template <class I>
void to_order(const I* map, I* ordered, int64_t channels, int64_t pixels, bool channels_last, I infinity, int64_t begin,
              int64_t end) {
  I* const to = ordered + begin * channels;
  const int64_t n = (end - begin) * channels;
  if (!channels_last) transpose(map + begin, channels, end - begin, pixels, to, channels);
  const I* const from = channels_last ? map + begin * channels : to;
  to_ranks<I>(from, to, infinity, to_ranks<Vector<I>>(from, to, infinity, 0, n), n);
}

// As many int32 as V has lanes.
template <class V, class I>
struct IndexOf {
  typedef int32_t type __attribute__((vector_size(4 * sizeof(V) / sizeof(I))));
};
template <class I>
struct IndexOf<I, I> {
  typedef int32_t type;
};

// One bin, N vectors of channels. `from` is the map at the first of them.
template <bool with_argmax, class V, int N, class I>
inline void max_of_bin(const Windows& w, Range y, Range x, const I* from, I* to, int32_t* argmax) {
  typedef typename IndexOf<V, I>::type Index;
  constexpr int64_t lanes = sizeof(V) / sizeof(I);
  V best[N];
  Index index[N];
  const I first = y.begin < y.end && x.begin < x.end ? kMin<I> : I(0);
  for (int n = 0; n < N; ++n) best[n] = V{} + first;
  for (int n = 0; n < N; ++n) index[n] = Index{} - 1;
  for (int64_t row = y.begin; row < y.end; ++row) {
    for (int64_t pixel = row * w.width + x.begin; pixel < row * w.width + x.end; ++pixel) {
      const I* const p = from + pixel * w.channels;
      for (int n = 0; n < N; ++n) {
        const V v = load<V>(p + n * lanes);
        if constexpr (with_argmax) {
          const Index here = Index{} + int32_t(pixel);
          if constexpr (sizeof(V) == sizeof(I)) {
            index[n] = v > best[n] ? here : index[n];
          } else {
            index[n] = __builtin_convertvector(v > best[n], Index) ? here : index[n];
          }
        }
        best[n] = v > best[n] ? v : best[n];
      }
    }
  }
  for (int n = 0; n < N; ++n) store(to + n * lanes, bits_of<I>(best[n]));
  if constexpr (with_argmax) {
    for (int n = 0; n < N; ++n) store(argmax + n * lanes, index[n]);
  }
}

// All bins of a window, for channels from c on while N vectors fit before `end`. Returns the first channel that is
// left.
template <bool with_argmax, class V, int N, class I>
int64_t max_of_bins(const Windows& w, const Range* pixels, const I* from, I* to, int64_t stride, int32_t* argmax,
                    int64_t c, int64_t end) {
  constexpr int64_t step = N * sizeof(V) / sizeof(I);
  for (; c + step <= end; c += step) {
    const Range* y = pixels;
    int64_t bin = 0;
    for (int64_t level = 0; level < w.levels; ++level) {
      const Grid grid = w.grids[level];
      const Range* const x = y + grid.rows;
      for (int64_t i = 0; i < grid.rows; ++i) {
        for (int64_t j = 0; j < grid.columns; ++j, ++bin) {
          int32_t* const at = with_argmax ? argmax + bin * w.channels + c : nullptr;
          max_of_bin<with_argmax, V, N>(w, y[i], x[j], from + c, to + bin * stride + c, at);
        }
      }
      y = x + grid.columns;
    }
  }
  return c;
}

template <bool with_argmax, class I>
void max_of_channels(const Windows& w, const Range* pixels, const I* from, I* to, int64_t stride, int32_t* argmax,
                     int64_t n) {
  int64_t c = max_of_bins<with_argmax, Vector<I>, kSums / 2>(w, pixels, from, to, stride, argmax, 0, n);
  c = max_of_bins<with_argmax, Vector<I>, 4>(w, pixels, from, to, stride, argmax, c, n);
  c = max_of_bins<with_argmax, Vector<I>, 1>(w, pixels, from, to, stride, argmax, c, n);
  max_of_bins<with_argmax, I, 1>(w, pixels, from, to, stride, argmax, c, n);
}

template <class I>
void max_pool(const Windows& w, const I* ordered, bool pooled_channels_last, I* pooled, int32_t* argmax, int64_t begin,
              int64_t end) {
  const int64_t blocks = (w.channels + kPoolBlock - 1) / kPoolBlock;
  const Memory<I> tile(pooled_channels_last ? 0 : w.bins * kPoolBlock);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t k = item / blocks, c = item % blocks * kPoolBlock;
    const int64_t n = w.channels - c < kPoolBlock ? w.channels - c : kPoolBlock;
    const I* const from = ordered + w.image[k] * w.height * w.width * w.channels + c;
    I* const out = pooled + k * w.bins * w.channels;
    I* const to = pooled_channels_last ? out + c : tile.data;
    const int64_t stride = pooled_channels_last ? w.channels : kPoolBlock;
    if (argmax) {
      max_of_channels<true>(w, w.pixels + k * w.edges, from, to, stride, argmax + k * w.bins * w.channels + c, n);
    } else {
      max_of_channels<false>(w, w.pixels + k * w.edges, from, to, stride, argmax, n);
    }
    if (pooled_channels_last) continue;
    int64_t bin = 0;
    for (int64_t level = 0; level < w.levels; ++level) {
      const int64_t bins = w.grids[level].rows * w.grids[level].columns;
      transpose(tile.data + bin * kPoolBlock, bins, n, kPoolBlock, out + bin * w.channels + c * bins, bins);
      bin += bins;
    }
  }
}

// Channels that max_pool_backward sums at a time: long runs of memory, and what a window covers fits into the L2 cache.
constexpr int64_t kSumBlock = 256;

// Adds the gradients of one bin, for a block of channels, to the pixels that its numbers came from. Where the bin holds
// few pixels, each of them takes from a whole vector what is its own; where it holds many, each number finds its pixel.
template <class T>
inline void scatter_bin(const Windows& w, Range y, Range x, const T* grad, const int32_t* argmax, T* out,
                        int64_t stride, int64_t count) {
  typedef typename VectorOf<T>::mask Mask;
  typedef typename IndexOf<Vector<T>, T>::type Index;
  int64_t i = 0;
  if ((y.end - y.begin) * (x.end - x.begin) <= kLanes<T>) {
    for (; i + kLanes<T> <= count; i += kLanes<T>) {
      const Vector<T> g = load<Vector<T>>(grad + i);
      const Mask at = __builtin_convertvector(load<Index>(argmax + i), Mask);
      for (int64_t row = y.begin; row < y.end; ++row) {
        for (int64_t pixel = row * w.width + x.begin; pixel < row * w.width + x.end; ++pixel) {
          T* const to = out + pixel * stride + i;
          const Mask here = __builtin_convertvector(Index{} + int32_t(pixel), Mask);
          store(to, load<Vector<T>>(to) + (at == here ? g : Vector<T>{}));
        }
      }
    }
  }
  const uint32_t pixels = uint32_t(w.height * w.width);
  for (; i < count; ++i) {
    if (uint32_t(argmax[i]) < pixels) out[argmax[i] * stride + i] += grad[i];
  }
}

// A window's gradients for channels [begin, end), straight into maps whose planes lie in one piece.
template <class T>
void scatter_window(const Windows& w, bool pooled_channels_last, const T* grad, const int32_t* argmax, T* map,
                    int64_t begin, int64_t end) {
  const int64_t pixels = w.height * w.width;
  int64_t first = 0;  // bin of the level
  for (int64_t level = 0; level < w.levels; ++level) {
    const int64_t bins = w.grids[level].rows * w.grids[level].columns;
    for (int64_t c = begin; c < end; ++c) {
      const T* const from = grad + (pooled_channels_last ? first * w.channels + c : first * w.channels + c * bins);
      for (int64_t b = 0; b < bins; ++b) {
        const int32_t at = argmax[(first + b) * w.channels + c];
        if (uint32_t(at) < uint32_t(pixels)) map[c * pixels + at] += from[b * (pooled_channels_last ? w.channels : 1)];
      }
    }
    first += bins;
  }
}

// The same for `count` channels from c on, into sums that lie side by side, `stride` from pixel to pixel. tile is room
// for a level.
template <class T>
void scatter_window_by_bins(const Windows& w, const Range* pixels, bool pooled_channels_last, const T* grad, int64_t c,
                            const int32_t* argmax, T* tile, T* out, int64_t stride, int64_t count) {
  const Range* y = pixels;
  int64_t first = 0;
  for (int64_t level = 0; level < w.levels; ++level) {
    const Grid grid = w.grids[level];
    const int64_t bins = grid.rows * grid.columns;
    const Range* const x = y + grid.rows;
    const T* const from = grad + first * w.channels;
    if (!pooled_channels_last) transpose(from + c * bins, count, bins, bins, tile, kSumBlock);
    for (int64_t b = 0; b < bins; ++b) {
      scatter_bin(w, y[b / grid.columns], x[b % grid.columns],
                  pooled_channels_last ? from + b * w.channels + c : tile + b * kSumBlock,
                  argmax + (first + b) * w.channels + c, out, stride, count);
    }
    first += bins;
    y = x + grid.columns;
  }
}

// Windows follow each other in their order and threads own different channels, so that the sums don't depend on the
// number of threads. Where there are fewer numbers than pixels, they go straight into the map.
template <class T>
void max_pool_backward(const Windows& w, int64_t n, bool pooled_channels_last, const T* pooled_grad,
                       const int32_t* argmax, bool channels_last, T* input_grad, int64_t image, int64_t begin,
                       int64_t end) {
  const int64_t pixels = w.height * w.width, numbers = w.bins * w.channels;
  T* const map = input_grad + image * pixels * w.channels;
  int64_t windows = 0;
  for (int64_t k = 0; k < n; ++k) windows += w.image[k] == image;
  if (!channels_last && windows * w.bins < pixels) {
    __builtin_memset(map + begin * pixels, 0, sizeof(T) * (end - begin) * pixels);
    for (int64_t k = 0; k < n; ++k) {
      if (w.image[k] != image) continue;
      scatter_window(w, pooled_channels_last, pooled_grad + k * numbers, argmax + k * numbers, map, begin, end);
    }
    return;
  }
  const Memory<T> tile(pooled_channels_last ? 0 : w.bins * kSumBlock);
  const Memory<T> sums(channels_last ? 0 : pixels * kSumBlock);
  for (int64_t c = begin; c < end; c += kSumBlock) {
    const int64_t count = end - c < kSumBlock ? end - c : kSumBlock;
    T* const out = channels_last ? map + c : sums.data;
    const int64_t stride = channels_last ? w.channels : kSumBlock;
    for (int64_t i = 0; i < pixels; ++i) __builtin_memset(out + i * stride, 0, sizeof(T) * count);
    for (int64_t k = 0; k < n; ++k) {
      if (w.image[k] != image) continue;
      scatter_window_by_bins(w, w.pixels + k * w.edges, pooled_channels_last, pooled_grad + k * numbers, c,
                             argmax + k * numbers, tile.data, out, stride, count);
    }
    if (!channels_last) transpose(sums.data, pixels, count, kSumBlock, map + c * pixels, pixels);
  }
}
