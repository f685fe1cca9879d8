// Thresholds come as doubles, boxes and scores as floats too. Rounded in the right direction, a threshold decides the
// same in float as the double would.
#pragma once

#include <cmath>
#include <limits>

namespace roibench {

// r > t exactly when r > round_down<T>(t).
template <class T>
T round_down(double t) {
  const T rounded = static_cast<T>(t);
  return rounded > t ? std::nextafter(rounded, -std::numeric_limits<T>::infinity()) : rounded;
}

// r >= t exactly when r >= round_up<T>(t).
template <class T>
T round_up(double t) {
  return -round_down<T>(-t);
}

}  // namespace roibench
