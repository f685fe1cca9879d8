// exp and log without a library call, so that the loops around them become vectors, with the same bits at every SIMD
// level and on the GPU. Both are their Taylor series, long enough for the type, on an interval that the exponent's bits
// shrink. Relative error: below 3e-7 in float32, 6e-16 in float64.
#pragma once

#include "geometry/scalar.h"

namespace roibench {

template <class T>
struct Format;
template <>
struct Format<float> {
  typedef int32_t Bits;
  static constexpr int fraction = 23, bias = 127;
  static constexpr int exp_terms = 8, atanh_terms = 7;
  // ln 2 in two parts; the first has few enough bits that its product with any exponent is exact.
  static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float smallest = 87.25f;  // exp(-smallest) is still a normal number
};
template <>
struct Format<double> {
  typedef int64_t Bits;
  static constexpr int fraction = 52, bias = 1023;
  static constexpr int exp_terms = 14, atanh_terms = 16;
  static constexpr double ln2_high = 0x1.62e42fefap-1, ln2_low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double smallest = 708.25;
};
template <class T>
using BitsOf = typename Format<T>::Bits;

template <class To, class From>
ROIBENCH_HD To bits_as(From from) {
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

// Added to a number, this leaves it rounded to an integer, in the lowest bits.
template <class T>
constexpr T kRounder = T(BitsOf<T>(3) << (Format<T>::fraction - 1));

consteval double factorial(int k) {
  return k < 2 ? 1 : k * factorial(k - 1);
}
template <class T, int k>
constexpr T kExpTerm = T(1 / factorial(k));  // exp(x) = sum of x^k / k!
template <class T, int k>
constexpr T kAtanhTerm = T(1.0 / (2 * k + 1));  // atanh(x) / x = sum of (x^2)^k / (2k + 1)

// The series from its term k on, divided by x^k.
template <int k = 0, class T>
ROIBENCH_HD T exp_series(T x) {
  if constexpr (k == Format<T>::exp_terms - 1) {
    return kExpTerm<T, k>;
  } else {
    return exp_series<k + 1>(x) * x + kExpTerm<T, k>;
  }
}
template <int k = 0, class T>
ROIBENCH_HD T atanh_series(T x2) {
  if constexpr (k == Format<T>::atanh_terms - 1) {
    return kAtanhTerm<T, k>;
  } else {
    return atanh_series<k + 1>(x2) * x2 + kAtanhTerm<T, k>;
  }
}

// exp(-a) for a >= 0; 0 where that is no normal number.
template <class T>
ROIBENCH_HD T exp_of_minus(T a) {
  const T rounded = kRounder<T> - a * T(1.4426950408889634074);
  const T n = rounded - kRounder<T>;
  const T r = (-a - n * Format<T>::ln2_high) - n * Format<T>::ln2_low;
  const T power = bits_as<T>((bits_as<BitsOf<T>>(rounded) + Format<T>::bias) << Format<T>::fraction);
  return a > Format<T>::smallest ? T(0) : exp_series(r) * power;
}

// 2 atanh(x) = log((1 + x) / (1 - x)) for |x| <= 1/3.
template <class T>
ROIBENCH_HD T twice_atanh(T x) {
  return T(2) * x * atanh_series(x * x);
}

// log(x) for a positive normal number x; NaN for a negative one and for NaN.
template <class T>
ROIBENCH_HD T log_of(T x) {
  typedef BitsOf<T> Bits;
  constexpr int fraction = Format<T>::fraction;
  const Bits bits = bits_as<Bits>(x) & ~(Bits(1) << (8 * sizeof(T) - 1));  // no sign, so that no difference overflows
  const Bits half_root = bits_as<Bits>(T(0.70710678118654752440));         // x = m * 2^n, m from here to its double
  const Bits n = (bits - half_root) >> fraction;
  const T m = bits_as<T>(bits - (n << fraction));
  const T exponent = bits_as<T>(bits_as<Bits>(kRounder<T>) + n) - kRounder<T>;
  const T log = exponent * Format<T>::ln2_high + (exponent * Format<T>::ln2_low + twice_atanh((m - T(1)) / (m + T(1))));
  return x >= T(0) ? log : T(NAN);
}

}  // namespace roibench
