// Sums over the threads of a warp and of a block, in an order that depends on nothing but the number of threads.
#pragma once

#include "launch.h"

namespace roibench::cuda {

// Every lane of a full warp takes part and gets the sum.
template <class T>
__device__ __forceinline__ T sum_over_warp(T x) {
  for (int distance = simt::kWarp / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(simt::kAllLanes, x, distance);
  return x;
}

// Of a number per lane: the sum over the lanes up to this one. Every lane of a full warp takes part.
__device__ __forceinline__ int sum_up_to_lane(int x) {
  const int lane = threadIdx.x % simt::kWarp;
#pragma unroll
  for (int distance = 1; distance < simt::kWarp; distance *= 2) {
    const int before = __shfl_up_sync(simt::kAllLanes, x, distance);
    if (lane >= distance) x += before;
  }
  return x;
}

// Every thread of a one-dimensional block takes part; thread 0 gets the sum. May be called once per kernel and type:
// its shared memory is not fenced off for a second call.
template <int threads, class T>
__device__ __forceinline__ T sum_over_block(T x) {
  static_assert(threads % simt::kWarp == 0);
  constexpr int warps = threads / simt::kWarp;
  ROIBENCH_SHARED(of_warp, T[warps]);
  x = sum_over_warp(x);
  if (threadIdx.x % simt::kWarp == 0) of_warp[threadIdx.x / simt::kWarp] = x;
  __syncthreads();
  if (threadIdx.x >= simt::kWarp) return T(0);
  return sum_over_warp(threadIdx.x < warps ? of_warp[threadIdx.x] : T(0));
}

}  // namespace roibench::cuda
