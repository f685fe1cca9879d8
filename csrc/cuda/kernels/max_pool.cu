// The largest number of each bin, and where it lies: roi_pool and both pyramid poolings. Numbers are compared as
// integers (rank.h), so that NaN is the largest, and results are the CPU's to the last bit.
//
// Forward: a thread, or for large bins a warp, takes one bin of as many channels as 16 bytes hold. Memory: reads the
// pixels of each bin, from the caches, in accesses of 16 bytes where channels lie side by side; writes a number and an
// index for each bin and channel. All grids of a pyramid are pooled by one launch; where each halves the one before it,
// 4 x 4, 2 x 2 and 1 x 1, pixels are read for the finest one alone, and its bins are joined by lanes.
// Backward: a thread takes one pooled number and adds it to its pixel: bound by atomics in the L2 cache. Where the
// channels of a pixel lie apart, a block turns the indices of 32 channels round in shared memory, so that they and the
// gradients are both read in the order of memory.
// Backward in order: a warp takes 32 channels of a pixel, finds the windows and the bins over it, and adds up those
// that have it for their largest. Reads a gradient and an index for each pixel of each bin, and writes each number
// once.
#include "max_pool.h"

#include "numbers.h"
#include "per_window.h"

namespace roibench::cuda {

#include "../../rank.h"

namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kGatherThreads = 256;
constexpr size_t kSharedAtMost = 48 << 10;  // bytes

// Lanes of a warp that take neighbouring channels of the same pixel, so that they read whole sectors of memory.
template <bool channels_last>
constexpr int kChannelLanes = channels_last ? 4 : 1;

}  // namespace

// The largest number that was seen, and the first pixel that has it. Registers hold 32 bits or 64.
template <class I>
struct Largest {
  using Rank = std::conditional_t<sizeof(I) == 8, I, int32_t>;
  Rank rank;
  int pixel;

  __device__ __forceinline__ void see(Rank other, int at) {
    if (other > rank) rank = other, pixel = at;
  }
  // Between lanes there is no order: the smaller of equal numbers' pixels.
  __device__ __forceinline__ void join_lane(int distance) {
    const Rank other = __shfl_xor_sync(kAllLanes, rank, distance);
    const int at = __shfl_xor_sync(kAllLanes, pixel, distance);
    if (other > rank || (other == rank && unsigned(at) < unsigned(pixel))) rank = other, pixel = at;
  }
};

// The pixels of a bin, from the first-th on, every step-th: f(row * width + column).
template <class F>
__device__ __forceinline__ void for_each_pixel(Span rows, Span columns, int width, int first, int step, F&& f) {
  const int length = columns.end - columns.begin;
  if (length <= 0) return;
  const int rows_down = step / length, columns_right = step % length;
  int y = rows.begin + first / length, x = columns.begin + first % length;
  while (y < rows.end) {
    f(y * width + x);
    y += rows_down, x += columns_right;
    if (x >= columns.end) x -= length, ++y;
  }
}

template <int N, bool channels_last, bool by_warp, class I>
__global__ void __launch_bounds__(kWindowThreads, 4)
    max_pool_kernel(Windows w, I infinity, const I* __restrict__ input, bool pooled_channels_last,
                    I* __restrict__ pooled, int32_t* __restrict__ argmax) {
  constexpr int kLanes = by_warp ? kChannelLanes<channels_last> : 1;  // that share a pixel
  constexpr int kSharing = by_warp ? kWarp / kLanes : 1;              // that share a bin
  const int groups = (w.map.channels / N + kLanes - 1) / kLanes, lane = by_warp ? threadIdx.x % kWarp : 0;
  const int64_t pixel_step = w.map.pixel_step(), channel_step = w.map.channel_step();
  for_each_item<by_warp ? kWarp : 1>(w.count, w.bins * groups, [&](int64_t k, int item) {
    const BinOfGroup of(item, w.bins, groups, channels_last);
    const int image = w.image[k], c = (of.group * kLanes + lane % kLanes) * N;
    const Bin bin = w.bin[of.bin];
    const Span rows = w.edge[k * w.edges + bin.row], columns = w.edge[k * w.edges + bin.column];
    const bool some = rows.begin < rows.end && columns.begin < columns.end;
    Largest<I> best[N];
#pragma unroll
    for (int i = 0; i < N; ++i) best[i] = {image < 0 ? kMax<I> : some ? kMin<I> : I(0), -1};
    if (image >= 0 && c < w.map.channels) {
      const I* const from = input + image * w.map.image_step() + c * channel_step;
      for_each_pixel(rows, columns, w.map.width, lane / kLanes, kSharing, [&](int pixel) {
        const Vector<I, N> numbers = load_channels<N, channels_last>(from + pixel * pixel_step, channel_step);
#pragma unroll
        for (int i = 0; i < N; ++i) best[i].see(rank_of<I>(numbers.at[i], infinity), pixel);
      });
    }
#pragma unroll
    for (int distance = by_warp ? kWarp / 2 : 0; distance >= kLanes; distance /= 2) {
#pragma unroll
      for (int i = 0; i < N; ++i) best[i].join_lane(distance);
    }
    if (lane >= kLanes || c >= w.map.channels) return;
    I* const to = pooled + w.pooled_at(pooled_channels_last, k, of.bin, bin, c);
    const int64_t to_step = w.pooled_step(pooled_channels_last, bin);
    Vector<I, N> numbers;
#pragma unroll
    for (int i = 0; i < N; ++i) numbers.at[i] = bits_of<I>(I(best[i].rank));
    if (pooled_channels_last) {
      store_vector(to, numbers);
    } else {
      store_channels<N, false>(to, to_step, numbers);
    }
    if (argmax == nullptr) return;
    Vector<int32_t, N> pixels;
#pragma unroll
    for (int i = 0; i < N; ++i) pixels.at[i] = best[i].pixel;
    store_vector(argmax + (k * w.bins + of.bin) * w.map.channels + c, pixels);
  });
}

// Of pyramids whose grids halve, from fine x fine bins on: a lane takes a bin of the finest grid.
template <int N, bool channels_last, int fine, class I>
__global__ void __launch_bounds__(kWindowThreads, 4)
    max_pool_halving_kernel(Windows w, I infinity, const I* __restrict__ input, bool pooled_channels_last,
                            I* __restrict__ pooled, int32_t* __restrict__ argmax) {
  constexpr int kBins = fine * fine, kOfWarp = kWarp / kBins;
  const int groups = (w.map.channels / N + kOfWarp - 1) / kOfWarp * kOfWarp;  // whole warps: lanes exchange numbers
  const int row = threadIdx.x % kBins / fine, column = threadIdx.x % fine;
  const int64_t pixel_step = w.map.pixel_step(), channel_step = w.map.channel_step();
  for_each_item<kBins>(w.count, groups, [&](int64_t k, int group) {
    const int image = w.image[k], c = group * N;
    Largest<I> best[N];
#pragma unroll
    for (int i = 0; i < N; ++i) best[i] = {kMin<I>, -1};
    if (image >= 0 && c < w.map.channels) {
      const Bin bin = w.bin[row * fine + column];
      const I* const from = input + image * w.map.image_step() + c * channel_step;
      for_each_pixel(
          w.edge[k * w.edges + bin.row], w.edge[k * w.edges + bin.column], w.map.width, 0, 1, [&](int pixel) {
            const Vector<I, N> numbers = load_channels<N, channels_last>(from + pixel * pixel_step, channel_step);
#pragma unroll
            for (int i = 0; i < N; ++i) best[i].see(rank_of<I>(numbers.at[i], infinity), pixel);
          });
    }
    for (int g = 0, joined = 1; g < w.grids; ++g, joined *= 2) {
      if (g > 0) {
#pragma unroll
        for (int i = 0; i < N; ++i) best[i].join_lane(joined / 2), best[i].join_lane(joined / 2 * fine);
      }
      if (c >= w.map.channels || row % joined != 0 || column % joined != 0) continue;
      const int b = w.grid[g].first_bin + row / joined * (fine / joined) + column / joined;
      const Bin bin = w.bin[b];
      Vector<I, N> numbers;
      Vector<int32_t, N> pixels;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const auto rank = best[i].pixel >= 0 ? I(best[i].rank) : image < 0 ? kMax<I> : I(0);
        numbers.at[i] = bits_of<I>(rank), pixels.at[i] = best[i].pixel;
      }
      store_channels<N, false>(pooled + w.pooled_at(pooled_channels_last, k, b, bin, c),
                               w.pooled_step(pooled_channels_last, bin), numbers);
      if (argmax != nullptr) store_vector(argmax + (k * w.bins + b) * w.map.channels + c, pixels);
    }
  });
}

template <class S, class T>
__global__ void __launch_bounds__(kWindowThreads, 4)
    max_pool_backward_kernel(Windows w, const S* __restrict__ grad, bool grad_channels_last,
                             const int32_t* __restrict__ argmax, T* __restrict__ input_grad) {
  const unsigned pixels = unsigned(w.map.height) * w.map.width;
  for_each_item<1>(w.count, w.bins * w.map.channels, [&](int64_t k, int item) {
    const BinOfGroup of(item, w.bins, w.map.channels, w.map.channels_last);
    const int image = w.image[k], c = of.group;
    const unsigned pixel = argmax[(k * w.bins + of.bin) * w.map.channels + c];
    if (image < 0 || pixel >= pixels) return;
    const T d = widen(grad[w.pooled_at(grad_channels_last, k, of.bin, w.bin[of.bin], c)]);
    atomicAdd(input_grad + image * w.map.image_step() + pixel * w.map.pixel_step() + c * w.map.channel_step(), d);
  });
}

template <class S, class T>
__global__ void __launch_bounds__(kWindowThreads, 4)
    max_pool_backward_apart_kernel(Windows w, const S* __restrict__ grad, bool grad_channels_last,
                                   const int32_t* __restrict__ argmax, T* __restrict__ input_grad) {
  constexpr int kPitch = kWarp + 1;
  ROIBENCH_DYNAMIC_SHARED(pixel_of, int32_t);  // [bins, kPitch]
  const unsigned pixels = unsigned(w.map.height) * w.map.width;
  const int first = blockIdx.x * kWarp, channels = min(kWarp, w.map.channels - first);
  for (int64_t k = blockIdx.y; k < w.count; k += gridDim.y) {
    const int image = w.image[k];
    if (image < 0) continue;
    for (int i = threadIdx.x; i < w.bins * kWarp; i += blockDim.x) {
      const int b = i / kWarp, c = i % kWarp;
      if (c < channels) pixel_of[b * kPitch + c] = argmax[(k * w.bins + b) * w.map.channels + first + c];
    }
    __syncthreads();
    T* const image_grad = input_grad + image * w.map.image_step();
    for (int i = threadIdx.x; i < w.bins * channels; i += blockDim.x) {
      const int b = i % w.bins, c = i / w.bins;
      const int place = b * kPitch + c, mine = pixel_of[place];
      // Bins are smaller than pixels: neighbours often have the same one. The first of them adds for all.
      if (unsigned(mine) >= pixels || (b > 0 && pixel_of[place - kPitch] == mine)) continue;
      const unsigned pixel = mine;
      T d = 0;
      for (int n = b; n < w.bins && pixel_of[n * kPitch + c] == mine; ++n) {
        d += T(widen(grad[w.pooled_at(grad_channels_last, k, n, w.bin[n], first + c)]));
      }
      atomicAdd(image_grad + pixel + (first + c) * w.map.channel_step(), d);
    }
    __syncthreads();
  }
}

// Whether the bins of window k reach the pixel.
__device__ __forceinline__ bool reaches(const Windows& w, int64_t k, int y, int x) {
  const Span* const edges = w.edge + k * w.edges;
  for (int g = 0; g < w.grids; ++g) {
    const GridOfBins grid = w.grid[g];
    const Span* const rows = edges + grid.first_edge;
    const Span* const columns = rows + grid.rows;
    if (rows[0].begin <= y && y < rows[grid.rows - 1].end && columns[0].begin <= x &&
        x < columns[grid.columns - 1].end) {
      return true;
    }
  }
  return false;
}

// f(bin) for the bins of a grid that hold the pixel, by the whole warp. edges: of the window.
template <class F>
__device__ __forceinline__ void for_each_bin_over(const GridOfBins& grid, const Span* edges, int y, int x, F&& f) {
  const int lane = threadIdx.x % kWarp;
  const Span* const rows = edges + grid.first_edge;
  const Span* const columns = rows + grid.rows;
  for (int first_row = 0; first_row < grid.rows; first_row += kWarp) {
    const int row = first_row + lane;
    const unsigned over_y = __ballot_sync(kAllLanes, row < grid.rows && rows[row].holds(y));
    for_each_lane(over_y, [&](int a) {
      for (int first_column = 0; first_column < grid.columns; first_column += kWarp) {
        const int column = first_column + lane;
        const unsigned over_x = __ballot_sync(kAllLanes, column < grid.columns && columns[column].holds(x));
        for_each_lane(over_x, [&](int b) { f(grid.first_bin + (first_row + a) * grid.columns + first_column + b); });
      }
    });
  }
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads, 4)
    max_pool_backward_deterministic_kernel(Windows w, const T* __restrict__ grad, bool grad_channels_last,
                                           const int32_t* __restrict__ argmax, T* __restrict__ input_grad) {
  const FeatureMap map = w.map;
  const int lane = threadIdx.x % kWarp, chunks = (map.channels + kWarp - 1) / kWarp;
  const int64_t pixels = int64_t(map.height) * map.width, items = map.batch * pixels * chunks;
  const int64_t step = int64_t(gridDim.x) * (kGatherThreads / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kGatherThreads / kWarp) + threadIdx.x / kWarp; i < items; i += step) {
    const int c = int(i % chunks) * kWarp + lane;
    const int64_t place = i / chunks;
    const int image = int(place / pixels), pixel = int(place % pixels), y = pixel / map.width, x = pixel % map.width;
    T sum = 0;
    for (int64_t first = 0; first < w.count; first += kWarp) {
      const int64_t mine = first + lane;
      const bool over = mine < w.count && w.image[mine] == image && reaches(w, mine, y, x);
      for_each_lane(__ballot_sync(kAllLanes, over), [&](int of) {
        const int64_t k = first + of;
        for (int g = 0; g < w.grids; ++g) {
          for_each_bin_over(w.grid[g], w.edge + k * w.edges, y, x, [&](int b) {
            if (c >= map.channels || argmax[(k * w.bins + b) * map.channels + c] != pixel) return;
            sum += grad[w.pooled_at(grad_channels_last, k, b, w.bin[b], c)];
          });
        }
      });
    }
    if (c < map.channels) input_grad[place * map.channels + c] = sum;
  }
}

template <class I>
int max_pool(const Windows& w, BinsAre bins, I infinity, const I* input, bool pooled_channels_last, I* pooled,
             int32_t* argmax, CUstream_st* stream) {
  const auto run = [&](auto kernel, int threads, int64_t items) {
    return simt::launch(kernel, grid_for(items * threads, w.count), threads_for(items * threads), 0, stream, w,
                        infinity, input, pooled_channels_last, pooled, argmax);
  };
  const auto run_of = [&]<int N, bool channels_last>() {
    const int64_t groups = w.map.channels / N;
    const auto halving = [&]<int fine>() {
      constexpr int kBins = fine * fine, kOfWarp = kWarp / kBins;
      return run(max_pool_halving_kernel<N, channels_last, fine, I>, kBins, (groups + kOfWarp - 1) / kOfWarp * kOfWarp);
    };
    switch (bins) {
      case BinsAre::halved_from_4:
        return halving.template operator()<4>();
      case BinsAre::halved_from_2:
        return halving.template operator()<2>();
      case BinsAre::large: {
        constexpr int kLanes = kChannelLanes<channels_last>;
        return run(max_pool_kernel<N, channels_last, true, I>, kWarp, w.bins * ((groups + kLanes - 1) / kLanes));
      }
      default:
        return run(max_pool_kernel<N, channels_last, false, I>, 1, w.bins * groups);
    }
  };
  constexpr int kVector = 16 / sizeof(I), kApart = kVector < 4 ? kVector : 4;
  if (w.map.channels % kApart != 0) {
    return w.map.channels_last ? run_of.template operator()<1, true>() : run_of.template operator()<1, false>();
  }
  if (!w.map.channels_last) return run_of.template operator()<kApart, false>();
  return w.map.channels % kVector == 0 ? run_of.template operator()<kVector, true>()
                                       : run_of.template operator()<kApart, true>();
}

template <class S, class T>
int max_pool_backward(const Windows& w, const S* grad, bool grad_channels_last, const int32_t* argmax, T* input_grad,
                      CUstream_st* stream) {
  const size_t shared_bytes = size_t(w.bins) * (kWarp + 1) * sizeof(int32_t);
  if (!w.map.channels_last && shared_bytes <= kSharedAtMost) {
    const dim3 grid((w.map.channels + kWarp - 1) / kWarp, grid_for(1, w.count).y);
    return simt::launch(max_pool_backward_apart_kernel<S, T>, grid, threads_for(int64_t(w.bins) * kWarp), shared_bytes,
                        stream, w, grad, grad_channels_last, argmax, input_grad);
  }
  const int64_t items = int64_t(w.bins) * w.map.channels;
  return simt::launch(max_pool_backward_kernel<S, T>, grid_for(items, w.count), threads_for(items), 0, stream, w, grad,
                      grad_channels_last, argmax, input_grad);
}

template <class T>
int max_pool_backward_deterministic(const Windows& w, const T* grad, bool grad_channels_last, const int32_t* argmax,
                                    T* input_grad, CUstream_st* stream) {
  const int64_t chunks = (w.map.channels + kWarp - 1) / kWarp;
  const int64_t threads = int64_t(w.map.batch) * w.map.height * w.map.width * chunks * kWarp;
  return simt::launch(max_pool_backward_deterministic_kernel<T>, simt::strided_grid(threads, kGatherThreads),
                      kGatherThreads, 0, stream, w, grad, grad_channels_last, argmax, input_grad);
}

template int max_pool(const Windows&, BinsAre, int16_t, const int16_t*, bool, int16_t*, int32_t*, CUstream_st*);
template int max_pool(const Windows&, BinsAre, int32_t, const int32_t*, bool, int32_t*, int32_t*, CUstream_st*);
template int max_pool(const Windows&, BinsAre, int64_t, const int64_t*, bool, int64_t*, int32_t*, CUstream_st*);
template int max_pool_backward(const Windows&, const float*, bool, const int32_t*, float*, CUstream_st*);
template int max_pool_backward(const Windows&, const double*, bool, const int32_t*, double*, CUstream_st*);
template int max_pool_backward(const Windows&, const __half*, bool, const int32_t*, float*, CUstream_st*);
template int max_pool_backward(const Windows&, const __nv_bfloat16*, bool, const int32_t*, float*, CUstream_st*);
template int max_pool_backward_deterministic(const Windows&, const float*, bool, const int32_t*, float*, CUstream_st*);
template int max_pool_backward_deterministic(const Windows&, const double*, bool, const int32_t*, double*,
                                             CUstream_st*);

}  // namespace roibench::cuda
