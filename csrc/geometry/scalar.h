// Arithmetic that the host and the device share, with NaN and infinity as the geometry wants them.
//
// Every function of csrc/geometry is forced inline. Several SIMD levels compile it (cpu/simd_*.cpp); an out-of-line
// copy would be one symbol for all of them, and the linker could give a machine without AVX-512 the copy built with it.
#pragma once

#include <math.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define ROIBENCH_HD __host__ __device__ __forceinline__
#else
#define ROIBENCH_HD __attribute__((always_inline)) inline
#endif

namespace roibench {

// With a NaN argument both return the second one, as the machine instructions do.
template <class T>
ROIBENCH_HD T min_of(T a, T b) {
  return a < b ? a : b;
}
template <class T>
ROIBENCH_HD T max_of(T a, T b) {
  return a > b ? a : b;
}

// max(x, 0). Of NaN, the first makes 0 and the second NaN.
template <class T>
ROIBENCH_HD T positive(T x) {
  return x > T(0) ? x : T(0);
}
template <class T>
ROIBENCH_HD T not_negative(T x) {
  return x < T(0) ? T(0) : x;
}

// Whether n / d is finite, and d finite and positive.
template <class T>
ROIBENCH_HD bool is_ratio(T n, T d) {
  const T infinity = T(INFINITY);
  const T quotient = n / d;
  return d > T(0) && d < infinity && quotient > -infinity && quotient < infinity;
}
// n / d, or else 0: overlaps of nothing with nothing are nothing.
template <class T>
ROIBENCH_HD T ratio(T n, T d) {
#if defined(__CUDA_ARCH__)
  // Most pairs of boxes don't meet, and CUDA divides 0 in a subroutine for numbers out of the ordinary.
  const T some = n == T(0) ? d : n;
  return n != T(0) && is_ratio(some, d) ? some / d : T(0);
#else
  return is_ratio(n, d) ? n / d : T(0);
#endif
}

// The builtins, not std::, because std:: functions are symbols that SIMD levels would share.
ROIBENCH_HD float ceil_of(float x) {
  return __builtin_ceilf(x);
}
ROIBENCH_HD double ceil_of(double x) {
  return __builtin_ceil(x);
}
ROIBENCH_HD float floor_of(float x) {
  return __builtin_floorf(x);
}
ROIBENCH_HD double floor_of(double x) {
  return __builtin_floor(x);
}
// Halves go away from zero.
ROIBENCH_HD float round_of(float x) {
  return __builtin_roundf(x);
}
ROIBENCH_HD double round_of(double x) {
  return __builtin_round(x);
}
#if defined(__CUDA_ARCH__)
ROIBENCH_HD float arctan2(float y, float x) {
  return ::atan2f(y, x);
}
ROIBENCH_HD double arctan2(double y, double x) {
  return ::atan2(y, x);
}
#else
ROIBENCH_HD float arctan2(float y, float x) {
  return __builtin_atan2f(y, x);
}
ROIBENCH_HD double arctan2(double y, double x) {
  return __builtin_atan2(y, x);
}
#endif

}  // namespace roibench
