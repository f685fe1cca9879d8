// Integers whose ascending order is the descending order of numbers, for sorting on the host and on the device.
#pragma once

#include <type_traits>

#include "exponential.h"

namespace roibench {

// 0 and -0 are equal, NaN comes last.
template <class T>
ROIBENCH_HD auto descending_key(T score) {
  using Key = std::make_unsigned_t<BitsOf<T>>;
  if (score != score) return Key(~Key(0));
  const Key bits = bits_as<Key>(score == T(0) ? T(0) : score);
  const Key sign = Key(1) << (8 * sizeof(Key) - 1);
  return bits & sign ? bits : Key(~(bits | sign));
}

}  // namespace roibench
