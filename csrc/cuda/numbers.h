// torch's half types as the kernels name them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

struct __half;
struct __nv_bfloat16;

namespace roibench::cuda {

template <class S>
struct OnDevice {
  using type = S;
};
template <>
struct OnDevice<c10::Half> {
  using type = __half;
};
template <>
struct OnDevice<c10::BFloat16> {
  using type = __nv_bfloat16;
};
template <class S>
using on_device = typename OnDevice<S>::type;

template <class S>
const on_device<S>* const_data(const at::Tensor& t) {
  return reinterpret_cast<const on_device<S>*>(t.const_data_ptr<S>());
}
template <class S>
on_device<S>* mutable_data(const at::Tensor& t) {
  return reinterpret_cast<on_device<S>*>(t.mutable_data_ptr<S>());
}

}  // namespace roibench::cuda
