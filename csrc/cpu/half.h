// Numbers of 16 bits as the kernels take them: widened to float on the way in, narrowed on the way out.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <type_traits>

#include "kernels.h"

namespace roibench {

template <class S>
constexpr bool is_half = std::is_same_v<S, c10::Half> || std::is_same_v<S, c10::BFloat16>;

template <class S>
constexpr HalfType half_type = std::is_same_v<S, c10::Half> ? HalfType::float16 : HalfType::bfloat16;

template <class S>
void widen(const S* from, float* to, int64_t n) {
  static_assert(is_half<S>);
  half_kernels().widen(half_type<S>, reinterpret_cast<const uint16_t*>(from), to, n);
}

template <class S>
void narrow(const float* from, S* to, int64_t n) {
  static_assert(is_half<S>);
  half_kernels().narrow(half_type<S>, from, reinterpret_cast<uint16_t*>(to), n);
}

}  // namespace roibench
