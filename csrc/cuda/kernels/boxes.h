// Boxes in the memory of the device, 16 bytes at a time: [n, 4] numbers, 16-byte aligned.
#pragma once

#include "../../geometry/overlap.h"
#include "vector.h"

namespace roibench::cuda {

template <class T>
__device__ __forceinline__ Box<T> load_box(const T* __restrict__ boxes, int64_t i) {
  if constexpr (sizeof(T) == 4) {
    const auto v = load_vector<4>(boxes + 4 * i);
    return {v.at[0], v.at[1], v.at[2], v.at[3]};
  } else {
    const auto low = load_vector<2>(boxes + 4 * i), high = load_vector<2>(boxes + 4 * i + 2);
    return {low.at[0], low.at[1], high.at[0], high.at[1]};
  }
}

template <class T>
__device__ __forceinline__ void store_box(T* __restrict__ boxes, int64_t i, const Box<T>& b) {
  if constexpr (sizeof(T) == 4) {
    store_vector(boxes + 4 * i, Vector<T, 4>{{b.x1, b.y1, b.x2, b.y2}});
  } else {
    store_vector(boxes + 4 * i, Vector<T, 2>{{b.x1, b.y1}});
    store_vector(boxes + 4 * i + 2, Vector<T, 2>{{b.x2, b.y2}});
  }
}

}  // namespace roibench::cuda
