// Focal loss of a logit x and a target t in [0, 1] (Lin et al. 2017, equation 5, for soft targets too):
//
//   a q^gamma c      c = -t log p - (1 - t) log(1 - p), p = sigmoid(x)      cross entropy
//                    q = p (1 - t) + (1 - p) t                              how wrong the prediction is
//                    a = alpha t + (1 - alpha) (1 - t)
//
// With e = exp(-|x|) and w the weight of the answer that the logit's sign is against, r = 1 - w that of the other one,
// everything is a sum and product of positive numbers, so that nothing cancels, overflows or divides by zero:
//
//   c = log(1 + e) + w |x|     q = (w + r e) / (1 + e)     p (1 - p) = e / (1 + e)^2     c' = p - t = +-(w - r e) / (1
//   + e)
//
// The derivatives by x divide by q only in  u = q' / q = (1 - 2t) e / ((1 + e) (w + r e)), which lies in [-1, 1]:
//
//   first    a q^gamma (gamma u c + c')
//   second   a q^gamma (gamma u c (gamma u - u + 1 - 2p) + 2 gamma u c' + p (1 - p)),  because u' = u (1 - 2p - u)
//
// About 60 operations per number: as long as it takes to read and write it.
#pragma once

#include "exponential.h"

namespace roibench {

template <class T>
struct FocalLoss {
  T gamma;
  T positive, negative;  // weight of each class
};

enum class Focus { none, square, any };  // gamma = 0, gamma = 2, or another one

template <int order, Focus focus, class T>
ROIBENCH_HD T focal(T x, T t, FocalLoss<T> loss) {
  const T gamma = loss.gamma;
  const bool positive_logit = x > T(0);
  const T a = positive_logit ? x : -x;
  const T w = positive_logit ? T(1) - t : t, r = positive_logit ? t : T(1) - t;
  const T e = exp_of_minus(a);
  const T one = T(1) + e, two = T(2) + e;
  const T inverse = T(1) / (one * two);  // one division for 1 / (1 + e) and for log(1 + e) = 2 atanh(e / (2 + e))
  const T p = two * inverse;             // the probability of the logit's sign
  const T log_one = twice_atanh(e * one * inverse);
  const T c = log_one + (w == T(0) ? T(0) : w * a);  // an infinite logit that is right costs nothing
  const T s = w + r * e, q = s * p;

  T value = t * loss.positive + (T(1) - t) * loss.negative;
  if constexpr (focus == Focus::square) value *= q * q;
  if constexpr (focus == Focus::any) {
    const T log_s = w == T(0) ? -a : log_of(s);  // there s = e, which may be 0
    value *= exp_of_minus(gamma * (log_one - log_s));
  }
  // An infinite cost that weighs nothing is nothing; NaN stays.
  if constexpr (order == 0) return value * (value == T(0) && c == T(INFINITY) ? T(0) : c);

  const T difference = (w - r * e) * p;
  const T c1 = positive_logit ? difference : -difference;
  if constexpr (order == 1 && focus == Focus::none) return value * c1;
  const T c2 = e * p * p;
  if constexpr (order == 2 && focus == Focus::none) return value * c2;
  const T u = (T(1) - T(2) * t) * p * (w == T(0) ? T(1) : e / s);
  const T uc = e == T(0) ? T(0) : gamma * u * c;  // an infinite logit has infinite c, and u = 0
  if constexpr (order == 1) return value * (uc + c1);
  const T flat = (positive_logit ? e - T(1) : T(1) - e) * p;  // 1 - 2p
  return value * (uc * (gamma * u - u + flat) + T(2) * gamma * u * c1 + c2);
}

// Calls f.operator()<focus>(). Host only.
template <class T, class F>
__attribute__((always_inline)) inline auto with_focus(T gamma, F&& f) {
  if (gamma == T(0)) return f.template operator()<Focus::none>();
  if (gamma == T(2)) return f.template operator()<Focus::square>();
  return f.template operator()<Focus::any>();
}

}  // namespace roibench
