// Barriers, and what a warp does together.
#pragma once

#include <cstdint>
#include <cstring>

#include "thread.h"

namespace simt {

enum class Vote { any, all, count };

// __syncthreads. Every thread of the block comes to the same call; returns the vote on their predicates.
int barrier(bool predicate, Vote vote, Site at);

// What the lanes of a warp bring to a collective. Only those in `present` took part; the other values are garbage,
// which is what reading them gives on a GPU.
struct Lanes {
  uint32_t present;
  uint64_t value[32];
};
// One lane's result. Lanes meet only in the same call, so the function also tells collectives apart.
using Combine = uint64_t (*)(const Lanes& lanes, int lane, int argument, int width);

// Waits for every lane of `mask` that hasn't left the kernel. Orders no memory: only sync_warp does.
uint64_t collective(Combine combine, uint32_t mask, uint64_t value, int argument, int width, Site at);
void sync_warp(uint32_t mask, Site at);

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

// The four shuffles: from which lane, among `width` that begin at `first`.
inline uint64_t shuffle_index(const Lanes& lanes, int lane, int from, int width) {
  return lanes.value[(lane & ~(width - 1)) + (from & (width - 1))];
}
inline uint64_t shuffle_up(const Lanes& lanes, int lane, int distance, int width) {
  const int first = lane & ~(width - 1);
  return lanes.value[lane - distance < first ? lane : lane - distance];
}
inline uint64_t shuffle_down(const Lanes& lanes, int lane, int distance, int width) {
  const int end = (lane & ~(width - 1)) + width;
  return lanes.value[lane + distance >= end ? lane : lane + distance];
}
inline uint64_t shuffle_xor(const Lanes& lanes, int lane, int pattern, int width) {
  const int end = (lane & ~(width - 1)) + width;
  return lanes.value[(lane ^ pattern) >= end ? lane : lane ^ pattern];
}
inline uint64_t ballot(const Lanes& lanes, int, int, int) {
  uint64_t set = 0;
  for (int i = 0; i < 32; ++i) {
    if ((lanes.present >> i & 1) && lanes.value[i] != 0) set |= 1u << i;
  }
  return set;
}
inline uint64_t match_any(const Lanes& lanes, int lane, int, int) {
  uint64_t same = 0;
  for (int i = 0; i < 32; ++i) {
    if ((lanes.present >> i & 1) && lanes.value[i] == lanes.value[lane]) same |= 1u << i;
  }
  return same;
}
template <class T, class F>
uint64_t reduce(const Lanes& lanes, F&& f) {
  T sum{};
  bool first = true;
  for (int i = 0; i < 32; ++i) {
    if (!(lanes.present >> i & 1)) continue;
    const T value = from_bits<T>(lanes.value[i]);
    sum = first ? value : f(sum, value);
    first = false;
  }
  return to_bits(sum);
}

}  // namespace simt

inline void __syncthreads(simt::Site at = SIMT_HERE) {
  simt::barrier(false, simt::Vote::any, at);
}
inline int __syncthreads_or(int predicate, simt::Site at = SIMT_HERE) {
  return simt::barrier(predicate, simt::Vote::any, at);
}
inline int __syncthreads_and(int predicate, simt::Site at = SIMT_HERE) {
  return simt::barrier(predicate, simt::Vote::all, at);
}
inline int __syncthreads_count(int predicate, simt::Site at = SIMT_HERE) {
  return simt::barrier(predicate, simt::Vote::count, at);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Site at = SIMT_HERE) {
  simt::sync_warp(mask, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Site at = SIMT_HERE) {
  return simt::collective(simt::ballot, mask, predicate != 0, 0, 32, at);
}
inline int __any_sync(unsigned mask, int predicate, simt::Site at = SIMT_HERE) {
  return __ballot_sync(mask, predicate, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Site at = SIMT_HERE) {
  return __ballot_sync(mask, !predicate, at) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, simt::Site at = SIMT_HERE) {
  return simt::collective(simt::match_any, mask, simt::to_bits(value), 0, 32, at);
}

#define SIMT_SHUFFLE(name, combine)                                                                        \
  template <class T>                                                                                       \
  T name(unsigned mask, T value, int argument, int width = 32, simt::Site at = SIMT_HERE) {                \
    return simt::from_bits<T>(simt::collective(combine, mask, simt::to_bits(value), argument, width, at)); \
  }
SIMT_SHUFFLE(__shfl_sync, simt::shuffle_index)
SIMT_SHUFFLE(__shfl_up_sync, simt::shuffle_up)
SIMT_SHUFFLE(__shfl_down_sync, simt::shuffle_down)
SIMT_SHUFFLE(__shfl_xor_sync, simt::shuffle_xor)
#undef SIMT_SHUFFLE

#define SIMT_REDUCE(name, expression)                                                            \
  template <class T>                                                                             \
  T name(unsigned mask, T value, simt::Site at = SIMT_HERE) {                                    \
    const simt::Combine combine = [](const simt::Lanes& lanes, int, int, int) {                  \
      return simt::reduce<T>(lanes, [](T a, T b) { return T(expression); });                     \
    };                                                                                           \
    return simt::from_bits<T>(simt::collective(combine, mask, simt::to_bits(value), 0, 32, at)); \
  }
SIMT_REDUCE(__reduce_add_sync, a + b)
SIMT_REDUCE(__reduce_min_sync, a < b ? a : b)
SIMT_REDUCE(__reduce_max_sync, a < b ? b : a)
SIMT_REDUCE(__reduce_and_sync, a& b)
SIMT_REDUCE(__reduce_or_sync, a | b)
SIMT_REDUCE(__reduce_xor_sync, a ^ b)
#undef SIMT_REDUCE
