// Position-sensitive RoI pooling: output channel o of bin b is the mean of that bin in the map's channel o * bins + b.
// So the numbers of a RoI are as many as the map has channels, and in their order: one thread each.
//
// Memory: writes R*C numbers, coalesced, and reads the pixels of one bin for each: neighbouring threads read different
// planes, or neighbours in memory where channels lie side by side.
// Backward adds each number to the pixels of its bin: bound by atomics in the L2 cache. In order, one thread per number
// of the map goes through the RoIs instead.
#include "ps_roi_pool.h"

#include "numbers.h"
#include "per_window.h"

namespace roibench::cuda {
namespace {

constexpr int kGatherThreads = 256;

}  // namespace

// What channel c of the map gives to window k.
struct PsBin {
  Span rows, columns;

  __device__ __forceinline__ PsBin(const Windows& w, int64_t k, int c) {
    const Bin bin = w.bin[c % w.bins];
    const Span* const edges = w.edge + k * w.edges;
    rows = edges[bin.row], columns = edges[bin.column];
  }
  __device__ __forceinline__ int64_t pixels() const {
    return int64_t(rows.end - rows.begin) * (columns.end - columns.begin);
  }
  // f(row * width + column)
  template <class F>
  __device__ __forceinline__ void for_each_pixel(int width, F&& f) const {
    for (int y = rows.begin; y < rows.end; ++y) {
      for (int x = columns.begin; x < columns.end; ++x) f(y * width + x);
    }
  }
};

template <class S>
__global__ void __launch_bounds__(kWindowThreads)
    ps_roi_pool_kernel(Windows w, const S* __restrict__ input, S* __restrict__ pooled) {
  using T = arithmetic_of<S>;
  const int64_t pixel_step = w.map.pixel_step();
  for_each_item<1>(w.count, w.map.channels, [&](int64_t k, int c) {
    const int image = w.image[k];
    const PsBin bin(w, k, c);
    T mean = NAN;
    if (image >= 0) {
      const S* const from = input + image * w.map.image_step() + c * w.map.channel_step();
      T sum = 0;
      bin.for_each_pixel(w.map.width, [&](int pixel) { sum += widen(from[pixel * pixel_step]); });
      mean = bin.pixels() == 0 ? T(0) : sum / T(bin.pixels());
    }
    pooled[k * w.map.channels + c] = narrow<S>(mean);
  });
}

template <class T>
__global__ void __launch_bounds__(kWindowThreads)
    ps_roi_pool_backward_kernel(Windows w, const T* __restrict__ grad, T* __restrict__ input_grad) {
  const int64_t pixel_step = w.map.pixel_step();
  for_each_item<1>(w.count, w.map.channels, [&](int64_t k, int c) {
    const int image = w.image[k];
    if (image < 0) return;
    const PsBin bin(w, k, c);
    const T share = grad[k * w.map.channels + c] / T(bin.pixels());
    T* const to = input_grad + image * w.map.image_step() + c * w.map.channel_step();
    bin.for_each_pixel(w.map.width, [&](int pixel) { atomicAdd(to + pixel * pixel_step, share); });
  });
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads, 4)
    ps_roi_pool_backward_deterministic_kernel(Windows w, const T* __restrict__ grad, T* __restrict__ input_grad) {
  const FeatureMap map = w.map;
  const int64_t pixels = int64_t(map.height) * map.width, n = map.batch * map.image_step();
  const int64_t step = int64_t(gridDim.x) * kGatherThreads;
  for (int64_t i = int64_t(blockIdx.x) * kGatherThreads + threadIdx.x; i < n; i += step) {
    const int64_t place = i % map.image_step();
    const int image = int(i / map.image_step());
    const int c = int(map.channels_last ? place % map.channels : place / pixels);
    const int pixel = int(map.channels_last ? place / map.channels : place % pixels);
    T sum = 0;
    for (int64_t k = 0; k < w.count; ++k) {
      if (w.image[k] != image) continue;
      const PsBin bin(w, k, c);
      if (!bin.rows.holds(pixel / map.width) || !bin.columns.holds(pixel % map.width)) continue;
      sum += grad[k * map.channels + c] / T(bin.pixels());
    }
    input_grad[i] = sum;
  }
}

template <class S>
int ps_roi_pool(const Windows& w, const S* input, S* pooled, CUstream_st* stream) {
  return simt::launch(ps_roi_pool_kernel<S>, grid_for(w.map.channels, w.count), threads_for(w.map.channels), 0, stream,
                      w, input, pooled);
}

template <class T>
int ps_roi_pool_backward(const Windows& w, const T* grad, T* input_grad, CUstream_st* stream) {
  return simt::launch(ps_roi_pool_backward_kernel<T>, grid_for(w.map.channels, w.count), threads_for(w.map.channels), 0,
                      stream, w, grad, input_grad);
}

template <class T>
int ps_roi_pool_backward_deterministic(const Windows& w, const T* grad, T* input_grad, CUstream_st* stream) {
  const int64_t numbers = w.map.batch * w.map.image_step();
  return simt::launch(ps_roi_pool_backward_deterministic_kernel<T>, simt::strided_grid(numbers, kGatherThreads),
                      kGatherThreads, 0, stream, w, grad, input_grad);
}

template int ps_roi_pool(const Windows&, const float*, float*, CUstream_st*);
template int ps_roi_pool(const Windows&, const double*, double*, CUstream_st*);
template int ps_roi_pool(const Windows&, const __half*, __half*, CUstream_st*);
template int ps_roi_pool(const Windows&, const __nv_bfloat16*, __nv_bfloat16*, CUstream_st*);
#define ROIBENCH_INSTANTIATE(T)                                                  \
  template int ps_roi_pool_backward(const Windows&, const T*, T*, CUstream_st*); \
  template int ps_roi_pool_backward_deterministic(const Windows&, const T*, T*, CUstream_st*);
ROIBENCH_INSTANTIATE(float)
ROIBENCH_INSTANTIATE(double)

}  // namespace roibench::cuda
