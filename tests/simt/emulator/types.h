// CUDA's small vectors, with CUDA's alignment: one that is read as a whole must lie at a multiple of its size.
#pragma once

struct CUstream_st;
using cudaStream_t = CUstream_st*;

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define SIMT_VECTORS(name, T)                                  \
  struct alignas(2 * sizeof(T)) name##2 {                      \
    T x, y;                                                    \
  };                                                           \
  struct alignas(sizeof(T) > 4 ? 16 : 4 * sizeof(T)) name##4 { \
    T x, y, z, w;                                              \
  };                                                           \
  inline name##2 make_##name##2(T x, T y) {                    \
    return {x, y};                                             \
  }                                                            \
  inline name##4 make_##name##4(T x, T y, T z, T w) {          \
    return {x, y, z, w};                                       \
  }
SIMT_VECTORS(float, float)
SIMT_VECTORS(double, double)
SIMT_VECTORS(int, int)
SIMT_VECTORS(uint, unsigned)
#undef SIMT_VECTORS
