// N neighbours that a thread reads or writes at once; by default 16 bytes, one 128-bit access. The address must be a
// multiple of the vector's size.
#pragma once

#include "launch.h"

namespace roibench::cuda {

template <class T, int N = 16 / sizeof(T)>
struct alignas(N * sizeof(T)) Vector {
  T at[N];
};

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T, N>*>(from);
}
template <class T, int N>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, N>& vector) {
  *reinterpret_cast<Vector<T, N>*>(to) = vector;
}

}  // namespace roibench::cuda
