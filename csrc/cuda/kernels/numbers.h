// Numbers as they are stored and as they are computed with: half types are widened to float and rounded once.
#pragma once

#include "launch.h"

namespace roibench::cuda {

template <class S>
struct Stored {
  using Arithmetic = S;
};
template <>
struct Stored<__half> {
  using Arithmetic = float;
};
template <>
struct Stored<__nv_bfloat16> {
  using Arithmetic = float;
};
template <class S>
using arithmetic_of = typename Stored<S>::Arithmetic;

template <class S>
__device__ __forceinline__ arithmetic_of<S> widen(S x) {
  if constexpr (std::is_same_v<S, __half>)
    return __half2float(x);
  else if constexpr (std::is_same_v<S, __nv_bfloat16>)
    return __bfloat162float(x);
  else
    return x;
}

template <class S, class T>
__device__ __forceinline__ S narrow(T x) {
  if constexpr (std::is_same_v<S, __half>)
    return __float2half_rn(float(x));
  else if constexpr (std::is_same_v<S, __nv_bfloat16>)
    return __float2bfloat16_rn(float(x));
  else
    return S(x);
}

}  // namespace roibench::cuda
