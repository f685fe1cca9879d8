// RoI align: the mean of bilinear samples in each bin of a grid laid over a box (He et al. 2017).
//
// Sampling, clamping at the border and averaging all happen per axis, so that the pooled map is  Ry * feature * Rx^T
// with two sparse matrices per RoI. A first kernel writes their rows, a list of taps (pixel, weight) for each bin,
// where samples that share a pixel share a tap; it is a matter of microseconds, and spares the threads of all channels
// the geometry. Taps and their order are the CPU's, and so are sums to the last bit, except where atomics add them.
//
// Forward: a thread takes one bin of as many channels as 16 bytes hold. Memory: writes R*C*P*P numbers, coalesced;
// reads some 9 to 25 pixels for each, from the caches, in accesses of 16 bytes where channels lie side by side.
// Backward: a block takes a RoI and some channels, writes into shared memory what its bins take of each pixel under it,
// and adds up, per pixel and channel, what those bins give back; only the sums go to memory, by atomics. RoIs have more
// bins than pixels, so that this is a tenth of the additions there. Where that table has no space in shared memory, for
// maps of thousands of pixels a side, a thread takes one pooled number and adds it to its pixels.
// Backward in order: a warp takes a pixel, finds the RoIs over it and the bins that saw it, and adds them up in their
// order, 32 channels or more at once. Reads what backward writes, and writes each number once.
#include "roi_align.h"

#include "numbers.h"
#include "per_window.h"
#include "reduce.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kTapThreads = 128;
constexpr int kGatherThreads = 256;
// Per multiprocessor: reads are scattered. Where more registers are needed, ptxas would spill at six.
template <int N, class S>
constexpr int kForwardBlocksAtLeast = sizeof(S) == 4 && N > 1 ? 6 : 4;
constexpr int kBackwardChannels = 128;      // of a block
constexpr size_t kSharedAtMost = 48 << 10;  // bytes, so that several blocks have space

// Room for the taps of all bins along an axis. Bins lie one after another and see each pixel of the map once, but for
// the two or three that neighbours share; or, with few samples, two pixels per sample.
template <class T>
int capacity(const RoiAlignShape<T>& shape, int bins, int size) {
  const int64_t by_pixels = size + int64_t(6) * bins;
  return int(shape.ratio > 0 && shape.ratio < by_pixels / (2 * bins) ? 2 * shape.ratio * bins : by_pixels);
}

}  // namespace

template <class T>
int64_t RoiAlignTaps<T>::bytes(const RoiAlignShape<T>& s, int64_t n) {
  const int64_t taps = capacity(s, s.bins_y, s.map.height) + capacity(s, s.bins_x, s.map.width);
  return n * (taps * sizeof(Tap<T>) + (s.edges() + 2) * sizeof(Span) + sizeof(int));
}

template <class T>
RoiAlignTaps<T> RoiAlignTaps<T>::in(void* memory, const RoiAlignShape<T>& s, int64_t n) {
  RoiAlignTaps t;
  t.capacity_y = capacity(s, s.bins_y, s.map.height);
  t.capacity_x = capacity(s, s.bins_x, s.map.width);
  t.taps = static_cast<Tap<T>*>(memory);
  t.bins = reinterpret_cast<Span*>(t.taps + n * (t.capacity_y + t.capacity_x));
  t.covered = t.bins + n * s.edges();
  t.image = reinterpret_cast<int*>(t.covered + 2 * n);
  return t;
}

// f(tap) for the taps of a bin. Samples come in order along the axis, so that a pixel which was used before is among
// the last three.
template <class T, class F>
__device__ __forceinline__ void for_each_tap(const BinAxis<T>& axis, int bin, int size, F&& f) {
  Tap<T> last[3] = {{T(0), -1}, {T(0), -1}, {T(0), -1}};
  const auto add = [&](int index, T weight) {
    if (weight == T(0)) return;
    bool known = false;
#pragma unroll
    for (int i = 0; i < 3; ++i) {  // without a branch: which of them it is must not become an address
      const bool same = last[i].index == index;
      last[i].weight = same ? last[i].weight + weight : last[i].weight;
      known |= same;
    }
    if (known) return;
    if (last[0].index >= 0) f(last[0]);
    last[0] = last[1];
    last[1] = last[2];
    last[2] = {weight, index};
  };
  const Range range = samples_on_map(axis, bin, size);
  for (int64_t s = range.begin; s < range.end; ++s) {
    const Bilinear<T> at = bilinear(axis.sample(bin, s), size);
    if (!at.inside) continue;
    add(int(at.low), at.low_weight / T(axis.samples));
    add(int(at.high), at.high_weight / T(axis.samples));
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    if (last[i].index >= 0) f(last[i]);
  }
}

// A warp takes an axis of a RoI, a lane one bin: it counts its taps, learns where they belong, and writes them there.
template <class T>
__global__ void __launch_bounds__(kTapThreads, 4)
    roi_align_taps_kernel(RoiAlignShape<T> s, const T* __restrict__ rois, int64_t n, RoiAlignTaps<T> out) {
  const int lane = threadIdx.x % kWarp;
  const int64_t step = int64_t(gridDim.x) * (kTapThreads / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kTapThreads / kWarp) + threadIdx.x / kWarp; i < 2 * n; i += step) {
    const int64_t k = i / 2;
    const bool vertical = i % 2 == 0;
    const T* const roi = rois + 5 * k;
    const int size = vertical ? s.map.height : s.map.width, bins = vertical ? s.bins_y : s.bins_x;
    const int capacity = vertical ? out.capacity_y : out.capacity_x;
    Tap<T>* const taps = out.taps + k * (out.capacity_y + out.capacity_x) + (vertical ? 0 : out.capacity_y);
    Span* const spans = out.bins + k * s.edges() + (vertical ? 0 : s.bins_y);
    const BinAxis<T> axis =
        bin_axis(roi[vertical ? 2 : 1], roi[vertical ? 4 : 3], s.scale, s.aligned, int64_t(bins), s.ratio);
    Span covered = {size, 0};
    int used = 0;
    for (int first = 0; first < bins; first += kWarp) {
      const int bin = first + lane;
      int count = 0;
      if (bin < bins) for_each_tap(axis, bin, size, [&](const Tap<T>&) { ++count; });
      const int end = used + sum_up_to_lane(count);
      used = __shfl_sync(kAllLanes, end, kWarp - 1);
      if (bin >= bins) continue;
      int at = end - count;
      spans[bin] = {min(at, capacity), min(end, capacity)};
      for_each_tap(axis, bin, size, [&](const Tap<T>& tap) {
        if (at < capacity) taps[at++] = tap;
        covered = {min(covered.begin, int(tap.index)), max(covered.end, int(tap.index) + 1)};
      });
    }
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      covered.begin = min(covered.begin, __shfl_xor_sync(kAllLanes, covered.begin, distance));
      covered.end = max(covered.end, __shfl_xor_sync(kAllLanes, covered.end, distance));
    }
    if (lane == 0) {
      out.covered[i] = covered;
      if (vertical) out.image[k] = image_of(roi[0], s.map.batch);
    }
  }
}

// f(pixel, weight) for all that a bin of RoI k takes of a channel of its map.
template <class S, class T, class F>
__device__ __forceinline__ void for_each_pixel(const RoiAlignShape<T>& s, const RoiAlignTaps<T>& t, int64_t k, int bin,
                                               S* map, F&& f) {
  const Tap<T>* const taps_y = t.taps + k * (t.capacity_y + t.capacity_x);
  const Tap<T>* const taps_x = taps_y + t.capacity_y;
  const Span* const bins = t.bins + k * s.edges();
  const Span rows = bins[bin / s.bins_x], columns = bins[s.bins_y + bin % s.bins_x];
  const unsigned pixel_step = s.map.pixel_step();
  const int64_t row_step = int64_t(s.map.width) * pixel_step;
  for (int a = rows.begin; a < rows.end; ++a) {
    const Tap<T> down = taps_y[a];
    S* const row = map + down.index * row_step;
    const Tap<T>* right = taps_x + columns.begin;
#pragma unroll 2  // more would spill
    for (int left = columns.end - columns.begin; left > 0; --left, ++right) {
      f(row + unsigned(right->index) * pixel_step, down.weight * right->weight);
    }
  }
}

template <int N, bool channels_last, class S, class T>
__global__ void __launch_bounds__(kWindowThreads, kForwardBlocksAtLeast<N, S>)
    roi_align_kernel(RoiAlignShape<T> s, RoiAlignTaps<T> taps, int64_t n, const S* __restrict__ input,
                     S* __restrict__ pooled) {
  const int bins = s.bins(), groups = s.map.channels / N;
  const int64_t channel_step = s.map.channel_step();
  for_each_item<1>(n, bins * groups, [&](int64_t k, int item) {
    const BinOfGroup of(item, bins, groups, channels_last);
    const int image = taps.image[k], c = of.group * N;
    T sum[N] = {};
    if (image >= 0) {
      const S* const from = input + image * s.map.image_step() + c * channel_step;
      for_each_pixel(s, taps, k, of.bin, from, [&](const S* pixel, T weight) {
        const Vector<S, N> values = load_channels<N, channels_last>(pixel, channel_step);
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] += weight * widen(values.at[i]);
      });
    }
    Vector<S, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.at[i] = narrow<S>(image >= 0 ? sum[i] : T(NAN));
    const int64_t at = channels_last ? int64_t(of.bin) * s.map.channels + c : int64_t(c) * bins + of.bin;
    store_channels<N, channels_last>(pooled + k * bins * s.map.channels + at, bins, result);
  });
}

// What each of `count` bins along an axis takes of each pixel under the RoI: weights [pixels, count], and the bins that
// take anything of a pixel. By a whole block, which meets before these are read.
template <class T>
__device__ __forceinline__ void weigh_pixels(const Tap<T>* __restrict__ taps, const Span* __restrict__ bins, int count,
                                             Span covered, T* weights, Span* bins_of_pixel) {
  const int pixels = covered.end - covered.begin;
  for (int i = threadIdx.x; i < pixels * count; i += blockDim.x) weights[i] = T(0);
  __syncthreads();
  for (int b = threadIdx.x; b < count; b += blockDim.x) {
    for (int a = bins[b].begin; a < bins[b].end; ++a) {
      weights[(taps[a].index - covered.begin) * count + b] = taps[a].weight;
    }
  }
  __syncthreads();
  for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
    Span some = {count, 0};
    for (int b = 0; b < count; ++b) {
      if (weights[p * count + b] != T(0)) some = {min(some.begin, b), b + 1};
    }
    bins_of_pixel[p] = some;
  }
}

template <class T>
size_t weights_in_shared_memory(const RoiAlignShape<T>& s) {
  const int64_t height = s.map.height, width = s.map.width;
  return (height * s.bins_y + width * s.bins_x) * sizeof(T) + (height + width) * sizeof(Span);
}

template <int N, bool channels_last, class S, class T>
__global__ void __launch_bounds__(kWindowThreads, 4)
    roi_align_backward_kernel(RoiAlignShape<T> s, RoiAlignTaps<T> t, int64_t n, const S* __restrict__ grad,
                              T* __restrict__ input_grad) {
  ROIBENCH_DYNAMIC_SHARED(memory, Span);
  Span* const bins_of_row = memory;
  Span* const bins_of_column = bins_of_row + s.map.height;
  T* const down = reinterpret_cast<T*>(bins_of_column + s.map.width);
  T* const right = down + s.map.height * s.bins_y;
  // A thread takes N channels of a pixel: neighbours in memory are taken by neighbouring threads.
  const int first = blockIdx.x * kBackwardChannels, bins = s.bins();
  const int channels = min(kBackwardChannels, s.map.channels - first);
  const int groups = channels_last ? min(kWarp, channels) : channels / N, gap = channels_last ? kWarp : 1;
  const int64_t channel_step = s.map.channel_step();
  const int bin_step = channels_last ? s.map.channels : 1, grad_step = channels_last ? 1 : bins;
  for (int64_t k = blockIdx.y; k < n; k += gridDim.y) {
    const int image = t.image[k];
    const Span rows = t.covered[2 * k], columns = t.covered[2 * k + 1];
    const int height = rows.end - rows.begin, width = columns.end - columns.begin;
    if (image < 0 || height <= 0 || width <= 0) continue;
    const Tap<T>* const taps = t.taps + k * (t.capacity_y + t.capacity_x);
    const Span* const spans = t.bins + k * s.edges();
    weigh_pixels(taps, spans, s.bins_y, rows, down, bins_of_row);
    weigh_pixels(taps + t.capacity_y, spans + s.bins_y, s.bins_x, columns, right, bins_of_column);
    __syncthreads();

    const int pixels = height * width;
    T* const image_grad = input_grad + image * s.map.image_step();
    for (int i = threadIdx.x; i < pixels * groups; i += blockDim.x) {
      const int pixel = channels_last ? i / groups : i % pixels, group = channels_last ? i % groups : i / pixels;
      const int y = pixel / width, x = pixel % width, own = channels_last ? group : group * N;
      const S* const from = grad + k * bins * s.map.channels + int64_t(first + own) * grad_step;
      T sum[N] = {};
      for (int b = bins_of_row[y].begin; b < bins_of_row[y].end; ++b) {
        const T of_row = down[y * s.bins_y + b];
        for (int a = bins_of_column[x].begin; a < bins_of_column[x].end; ++a) {
          const T weight = of_row * right[x * s.bins_x + a];
          const S* const bin = from + int64_t(b * s.bins_x + a) * bin_step;
#pragma unroll
          for (int j = 0; j < N; ++j) {
            if (own + j * gap < channels) sum[j] += weight * widen(bin[j * gap * grad_step]);
          }
        }
      }
      const int64_t place = int64_t(rows.begin + y) * s.map.width + columns.begin + x;
      T* const to = image_grad + place * s.map.pixel_step() + (first + own) * channel_step;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (own + j * gap < channels) atomicAdd(to + j * gap * channel_step, sum[j]);
      }
    }
    __syncthreads();
  }
}

template <class S, class T>
__global__ void __launch_bounds__(kWindowThreads, 4)
    roi_align_backward_by_bins_kernel(RoiAlignShape<T> s, RoiAlignTaps<T> taps, int64_t n, const S* __restrict__ grad,
                                      T* __restrict__ input_grad) {
  const int bins = s.bins(), items = bins * s.map.channels;
  for_each_item<1>(n, items, [&](int64_t k, int item) {
    const BinOfGroup of(item, bins, s.map.channels, s.map.channels_last);
    const int image = taps.image[k];
    if (image < 0) return;
    const T d = widen(grad[k * items + item]);
    T* const to = input_grad + image * s.map.image_step() + of.group * s.map.channel_step();
    for_each_pixel(s, taps, k, of.bin, to, [&](T* pixel, T weight) { atomicAdd(pixel, weight * d); });
  });
}

// What a bin takes of a pixel.
template <class T>
__device__ __forceinline__ T weight_of(const Tap<T>* __restrict__ taps, Span bin, int pixel) {
  for (int i = bin.begin; i < bin.end; ++i) {
    const Tap<T> tap = taps[i];
    if (tap.index == pixel) return tap.weight;
  }
  return T(0);
}

template <int N, class T>
__global__ void __launch_bounds__(kGatherThreads, 4)
    roi_align_backward_deterministic_kernel(RoiAlignShape<T> s, RoiAlignTaps<T> t, int64_t n,
                                            const T* __restrict__ grad, T* __restrict__ input_grad) {
  const FeatureMap map = s.map;
  const int lane = threadIdx.x % kWarp;
  const int chunks = (map.channels + kWarp * N - 1) / (kWarp * N);
  const int64_t pixels = int64_t(map.height) * map.width, items = map.batch * pixels * chunks;
  const int64_t step = int64_t(gridDim.x) * (kGatherThreads / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kGatherThreads / kWarp) + threadIdx.x / kWarp; i < items; i += step) {
    const int c = (int(i % chunks) * kWarp + lane) * N;
    const int64_t place = i / chunks;
    const int image = int(place / pixels), y = int(place % pixels / map.width), x = int(place % pixels % map.width);
    T sum[N] = {};

    const auto add_roi = [&](int64_t k) {
      const Tap<T>* const taps = t.taps + k * (t.capacity_y + t.capacity_x);
      const Span* const bins = t.bins + k * s.edges();
      for (int first_row = 0; first_row < s.bins_y; first_row += kWarp) {
        const int row = first_row + lane;
        const T down = row < s.bins_y ? weight_of(taps, bins[row], y) : T(0);
        const unsigned rows = __ballot_sync(kAllLanes, down != T(0));
        if (rows == 0) continue;
        for (int first_column = 0; first_column < s.bins_x; first_column += kWarp) {
          const int column = first_column + lane;
          const T right = column < s.bins_x ? weight_of(taps + t.capacity_y, bins[s.bins_y + column], x) : T(0);
          const unsigned columns = __ballot_sync(kAllLanes, right != T(0));
          for_each_lane(rows, [&](int a) {
            const T weight_y = __shfl_sync(kAllLanes, down, a);
            for_each_lane(columns, [&](int b) {
              const T weight = weight_y * __shfl_sync(kAllLanes, right, b);
              if (c >= map.channels) return;
              const int64_t bin = k * s.bins() + (first_row + a) * s.bins_x + first_column + b;
              const Vector<T, N> d = load_vector<N>(grad + bin * map.channels + c);
#pragma unroll
              for (int j = 0; j < N; ++j) sum[j] += weight * d.at[j];
            });
          });
        }
      }
    };

    for (int64_t first = 0; first < n; first += kWarp) {
      const int64_t k = first + lane;
      const bool covers = k < n && t.image[k] == image && t.covered[2 * k].holds(y) && t.covered[2 * k + 1].holds(x);
      for_each_lane(__ballot_sync(kAllLanes, covers), [&](int of) { add_roi(first + of); });
    }
    if (c >= map.channels) continue;
    Vector<T, N> result;
#pragma unroll
    for (int j = 0; j < N; ++j) result.at[j] = sum[j];
    store_vector(input_grad + place * map.channels + c, result);
  }
}

template <class T>
int roi_align_taps(const RoiAlignShape<T>& shape, const T* rois, int64_t n, const RoiAlignTaps<T>& taps,
                   CUstream_st* stream) {
  return simt::launch(roi_align_taps_kernel<T>, simt::strided_grid(2 * n * kWarp, kTapThreads), kTapThreads, 0, stream,
                      shape, rois, n, taps);
}

template <class S, class T>
int roi_align(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n, const S* input, S* pooled,
              CUstream_st* stream) {
  const auto run = [&]<int N>() {
    const int items = shape.bins() * (shape.map.channels / N);
    const auto kernel = shape.map.channels_last ? roi_align_kernel<N, true, S, T> : roi_align_kernel<N, false, S, T>;
    return simt::launch(kernel, grid_for(items, n), threads_for(items), 0, stream, shape, taps, n, input, pooled);
  };
  // Channels that lie apart are no vector: more than four of them leave too few threads.
  constexpr int kLanes = 16 / sizeof(S), kApart = kLanes < 4 ? kLanes : 4;
  if (shape.map.channels % kApart != 0) return run.template operator()<1>();
  return shape.map.channels_last && shape.map.channels % kLanes == 0 ? run.template operator()<kLanes>()
                                                                     : run.template operator()<kApart>();
}

template <class S, class T>
int roi_align_backward(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n, const S* grad,
                       T* input_grad, CUstream_st* stream) {
  const FeatureMap& map = shape.map;
  const size_t shared_bytes = weights_in_shared_memory(shape);
  if (shared_bytes > kSharedAtMost) {
    const int items = shape.bins() * map.channels;
    return simt::launch(roi_align_backward_by_bins_kernel<S, T>, grid_for(items, n), threads_for(items), 0, stream,
                        shape, taps, n, grad, input_grad);
  }
  const auto kernel = map.channels_last       ? roi_align_backward_kernel<4, true, S, T>
                      : map.channels % 4 == 0 ? roi_align_backward_kernel<4, false, S, T>
                                              : roi_align_backward_kernel<1, false, S, T>;
  const dim3 grid((map.channels + kBackwardChannels - 1) / kBackwardChannels, grid_for(1, n).y);
  return simt::launch(kernel, grid, kWindowThreads, shared_bytes, stream, shape, taps, n, grad, input_grad);
}

template <class T>
int roi_align_backward_deterministic(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n,
                                     const T* grad, T* input_grad, CUstream_st* stream) {
  const FeatureMap& map = shape.map;
  const auto run = [&]<int N>() {
    const int64_t chunks = (map.channels + kWarp * N - 1) / (kWarp * N);
    const int64_t threads = int64_t(map.batch) * map.height * map.width * chunks * kWarp;
    return simt::launch(roi_align_backward_deterministic_kernel<N, T>, simt::strided_grid(threads, kGatherThreads),
                        kGatherThreads, 0, stream, shape, taps, n, grad, input_grad);
  };
  constexpr int kLanes = 16 / sizeof(T);
  return map.channels % kLanes == 0 ? run.template operator()<kLanes>() : run.template operator()<1>();
}

#define ROIBENCH_INSTANTIATE(T)                                                                                     \
  template struct RoiAlignTaps<T>;                                                                                  \
  template int roi_align_taps(const RoiAlignShape<T>&, const T*, int64_t, const RoiAlignTaps<T>&, CUstream_st*);    \
  template int roi_align_backward_deterministic(const RoiAlignShape<T>&, const RoiAlignTaps<T>&, int64_t, const T*, \
                                                T*, CUstream_st*);
ROIBENCH_INSTANTIATE(float)
ROIBENCH_INSTANTIATE(double)
#define ROIBENCH_INSTANTIATE_STORED(S, T)                                                                       \
  template int roi_align(const RoiAlignShape<T>&, const RoiAlignTaps<T>&, int64_t, const S*, S*, CUstream_st*); \
  template int roi_align_backward(const RoiAlignShape<T>&, const RoiAlignTaps<T>&, int64_t, const S*, T*, CUstream_st*);
ROIBENCH_INSTANTIATE_STORED(float, float)
ROIBENCH_INSTANTIATE_STORED(double, double)
ROIBENCH_INSTANTIATE_STORED(__half, float)
ROIBENCH_INSTANTIATE_STORED(__nv_bfloat16, float)

}  // namespace roibench::cuda
