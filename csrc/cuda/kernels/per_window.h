// What the kernels over windows, RoIs or whole maps, have in common: blocks of one window each, threads that take
// several channels of one bin, warps that look for the windows over one pixel.
#pragma once

#include "feature_map.h"
#include "launch.h"
#include "vector.h"

namespace roibench::cuda {

constexpr int kWindowThreads = 256;

// x: numbers of one window, y: windows. Small windows get small blocks.
inline int threads_for(int64_t items) {
  const int64_t whole_warps = (items + simt::kWarp - 1) / simt::kWarp * simt::kWarp;
  return int(whole_warps < kWindowThreads ? whole_warps : kWindowThreads);
}
inline dim3 grid_for(int64_t items, int64_t windows) {
  constexpr int64_t kMaxBlocksY = 65535;
  const int64_t threads = threads_for(items);
  return dim3(unsigned((items + threads - 1) / threads), unsigned(windows < kMaxBlocksY ? windows : kMaxBlocksY));
}

// f(window, item) for the items of all windows, each by `threads` neighbouring threads.
template <int threads, class F>
__device__ __forceinline__ void for_each_item(int64_t windows, int items, F&& f) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t k = blockIdx.y; k < windows; k += gridDim.y) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < int64_t(items) * threads; i += step) {
      f(k, int(i / threads));
    }
  }
}

// Item i is a bin of a group of channels. Neighbouring threads take neighbours in memory: channels, or bins.
struct BinOfGroup {
  int bin, group;

  __device__ __forceinline__ BinOfGroup(int i, int bins, int groups, bool channels_last)
      : bin(channels_last ? i / groups : i % bins), group(channels_last ? i % groups : i / bins) {}
};

// The same pixel of N channels.
template <int N, bool channels_last, class S>
__device__ __forceinline__ Vector<S, N> load_channels(const S* __restrict__ from, int64_t channel_step) {
  if constexpr (channels_last) {
    return load_vector<N>(from);
  } else {
    Vector<S, N> v;
#pragma unroll
    for (int n = 0; n < N; ++n) v.at[n] = from[n * channel_step];
    return v;
  }
}
template <int N, bool channels_last, class S>
__device__ __forceinline__ void store_channels(S* __restrict__ to, int64_t channel_step, const Vector<S, N>& v) {
  if constexpr (channels_last) {
    store_vector(to, v);
  } else {
#pragma unroll
    for (int n = 0; n < N; ++n) to[n * channel_step] = v.at[n];
  }
}

// f(lane) for each lane whose bit is set, by the whole warp, in the order of lanes.
template <class F>
__device__ __forceinline__ void for_each_lane(unsigned lanes, F&& f) {
  for (; lanes != 0; lanes &= lanes - 1) f(__ffs(int(lanes)) - 1);
}

}  // namespace roibench::cuda
