// The focal loss of each number, its sum, and its derivatives; the formula is focal_loss.h's.
//
// Memory: forward reads two numbers and writes one, a sum writes none, backward reads two or three and writes one, each
// in accesses of 16 bytes. With some 80 instructions per number, that is about what a GPU computes in the same time.
// Backward computes from logits and targets what forward could have left behind. Storing the gradient's factor would
// not be faster: for a sum, forward and backward together move 5 numbers either way (2 + 3, or 3 + 2), for the
// unreduced loss 7 (3 + 4, or 4 + 3), and it would have to be kept in memory in between.
//
// A sum is that of the CPU to the last bit within 1,024 numbers, which a warp adds up by halves; the chunks' sums are
// added in float64, in an order that depends on their number alone.
#include "sigmoid_focal_loss.h"

#include "launch.h"
#include "numbers.h"
#include "reduce.h"
#include "vector.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kThreads = 256;
constexpr int kBlocksAtLeast = 2;  // per multiprocessor: where nothing is said, ptxas spills at 64 registers
constexpr int kFinishThreads = 1024;

template <class S>
constexpr int kLanes = 16 / sizeof(S);

}  // namespace

// from[i, i + N) as far as it lies before n, then zeros.
template <class S>
__device__ __forceinline__ Vector<S> load_up_to(const S* __restrict__ from, int64_t i, int64_t n) {
  if (i + kLanes<S> <= n) return load_vector<kLanes<S>>(from + i);
  Vector<S> v;
#pragma unroll
  for (int k = 0; k < kLanes<S>; ++k) v.at[k] = i + k < n ? from[i + k] : narrow<S>(0.0f);
  return v;
}
template <class S>
__device__ __forceinline__ void store_up_to(S* __restrict__ to, int64_t i, int64_t n, const Vector<S>& v) {
  if (i + kLanes<S> <= n) return store_vector(to + i, v);
#pragma unroll
  for (int k = 0; k < kLanes<S>; ++k) {
    if (i + k < n) to[i + k] = v.at[k];
  }
}

template <Focus focus, class S, class T>
__global__ void __launch_bounds__(kThreads) focal_loss_kernel(FocalLoss<T> loss, const S* __restrict__ x,
                                                              const S* __restrict__ t, int64_t n, S* __restrict__ out) {
  const int64_t step = int64_t(gridDim.x) * kThreads * kLanes<S>;
  for (int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kLanes<S>; i < n; i += step) {
    const Vector<S> logits = load_up_to(x, i, n), targets = load_up_to(t, i, n);
    Vector<S> result;
#pragma unroll
    for (int k = 0; k < kLanes<S>; ++k) {
      result.at[k] = narrow<S>(focal<0, focus>(widen(logits.at[k]), widen(targets.at[k]), loss));
    }
    store_up_to(out, i, n, result);
  }
}

template <int order, Focus focus, class S, class T>
__global__ void __launch_bounds__(kThreads)
    focal_loss_derivative_kernel(FocalLoss<T> loss, const S* __restrict__ grad, const T* __restrict__ same,
                                 const S* __restrict__ x, const S* __restrict__ t, int64_t n, S* __restrict__ out) {
  const int64_t step = int64_t(gridDim.x) * kThreads * kLanes<S>;
  const T number = grad == nullptr ? *same : T(0);
  for (int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kLanes<S>; i < n; i += step) {
    const Vector<S> logits = load_up_to(x, i, n), targets = load_up_to(t, i, n);
    Vector<S> grads = {};
    if (grad != nullptr) grads = load_up_to(grad, i, n);
    Vector<S> result;
#pragma unroll
    for (int k = 0; k < kLanes<S>; ++k) {
      const T d = grad == nullptr ? number : T(widen(grads.at[k]));
      result.at[k] = narrow<S>(d * focal<order, focus>(widen(logits.at[k]), widen(targets.at[k]), loss));
    }
    store_up_to(out, i, n, result);
  }
}

// The losses of every stride-th of a lane's vectors, added by halves: one half of them to the other, again and again. A
// warp's vectors lie side by side. Loops that stay loops: unrolled, a chunk is tens of thousands of instructions.
template <int stride, Focus focus, class S, class T>
__device__ __forceinline__ Vector<T, kLanes<S>> sum_of_vectors(const FocalLoss<T>& loss, const S* __restrict__ x,
                                                               const S* __restrict__ t, int64_t first, int64_t n) {
  constexpr int kStep = kWarp * kLanes<S>;
  Vector<T, kLanes<S>> sum = {};
  if constexpr (stride < kFocalLossChunk / kStep) {
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      const Vector<T, kLanes<S>> other =
          sum_of_vectors<2 * stride, focus>(loss, x, t, first + half * stride * kStep, n);
#pragma unroll
      for (int j = 0; j < kLanes<S>; ++j) sum.at[j] = half == 0 ? other.at[j] : sum.at[j] + other.at[j];
    }
  } else {
    const Vector<S> logits = load_up_to(x, first, n), targets = load_up_to(t, first, n);
#pragma unroll
    for (int j = 0; j < kLanes<S>; ++j) {
      if (first + j < n) sum.at[j] = focal<0, focus>(widen(logits.at[j]), widen(targets.at[j]), loss);
    }
  }
  return sum;
}

template <Focus focus, class S, class T>
__global__ void __launch_bounds__(kThreads, kBlocksAtLeast)
    focal_loss_chunks_kernel(FocalLoss<T> loss, const S* __restrict__ x, const S* __restrict__ t, int64_t n,
                             double* __restrict__ sums) {
  const int64_t chunks = (n + kFocalLossChunk - 1) / kFocalLossChunk;
  const int64_t step = int64_t(gridDim.x) * (kThreads / kWarp);
  const int lane = threadIdx.x % kWarp;
  for (int64_t c = int64_t(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp; c < chunks; c += step) {
    const int64_t first = c * kFocalLossChunk + lane * kLanes<S>;
    Vector<T, kLanes<S>> sum = sum_of_vectors<1, focus>(loss, x, t, first, n);
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int j = 0; j < kLanes<S>; ++j) sum.at[j] += __shfl_down_sync(kAllLanes, sum.at[j], distance);
    }
#pragma unroll
    for (int half = kLanes<S> / 2; half > 0; half /= 2) {
#pragma unroll
      for (int j = 0; j < half; ++j) sum.at[j] += sum.at[j + half];
    }
    if (lane == 0) sums[c] = sum.at[0];
  }
}

template <class S>
__global__ void __launch_bounds__(kFinishThreads)
    focal_loss_finish_kernel(const double* __restrict__ sums, int64_t n, bool mean, S* __restrict__ out) {
  const int64_t chunks = (n + kFocalLossChunk - 1) / kFocalLossChunk;
  double sum = 0;
  for (int64_t c = threadIdx.x; c < chunks; c += kFinishThreads) sum += sums[c];
  sum = sum_over_block<kFinishThreads>(sum);
  if (threadIdx.x == 0) *out = narrow<S>(mean ? sum / double(n) : sum);
}

template <class S, class T>
int focal_loss(const FocalLoss<T>& loss, const S* x, const S* t, int64_t n, S* out, CUstream_st* stream) {
  const unsigned blocks = simt::strided_grid((n + kLanes<S> - 1) / kLanes<S>, kThreads);
  return with_focus(loss.gamma, [&]<Focus focus>() {
    return simt::launch(focal_loss_kernel<focus, S, T>, blocks, kThreads, 0, stream, loss, x, t, n, out);
  });
}

template <class S, class T>
int focal_loss_sum(const FocalLoss<T>& loss, bool mean, const S* x, const S* t, int64_t n, double* sums, S* out,
                   CUstream_st* stream) {
  if (n > 0) {
    const unsigned blocks = simt::strided_grid((n + kFocalLossChunk - 1) / kFocalLossChunk * kWarp, kThreads);
    const int error = with_focus(loss.gamma, [&]<Focus focus>() {
      return simt::launch(focal_loss_chunks_kernel<focus, S, T>, blocks, kThreads, 0, stream, loss, x, t, n, sums);
    });
    if (error) return error;
  }
  return simt::launch(focal_loss_finish_kernel<S>, 1, kFinishThreads, 0, stream, sums, n, mean, out);
}

template <class S, class T>
int focal_loss_derivative(const FocalLoss<T>& loss, int64_t order, const S* grad, const T* same, const S* x, const S* t,
                          int64_t n, S* out, CUstream_st* stream) {
  const unsigned blocks = simt::strided_grid((n + kLanes<S> - 1) / kLanes<S>, kThreads);
  return with_focus(loss.gamma, [&]<Focus focus>() {
    const auto kernel =
        order == 1 ? focal_loss_derivative_kernel<1, focus, S, T> : focal_loss_derivative_kernel<2, focus, S, T>;
    return simt::launch(kernel, blocks, kThreads, 0, stream, loss, grad, same, x, t, n, out);
  });
}

#define ROIBENCH_INSTANTIATE(S, T)                                                                                  \
  template int focal_loss(const FocalLoss<T>&, const S*, const S*, int64_t, S*, CUstream_st*);                      \
  template int focal_loss_sum(const FocalLoss<T>&, bool, const S*, const S*, int64_t, double*, S*, CUstream_st*);   \
  template int focal_loss_derivative(const FocalLoss<T>&, int64_t, const S*, const T*, const S*, const S*, int64_t, \
                                     S*, CUstream_st*);
ROIBENCH_INSTANTIATE(float, float)
ROIBENCH_INSTANTIATE(double, double)
ROIBENCH_INSTANTIATE(__half, float)
ROIBENCH_INSTANTIATE(__nv_bfloat16, float)

}  // namespace roibench::cuda
