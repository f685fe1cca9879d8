// Tensors in the type and the memory order that a kernel reads.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace roibench {

inline bool is_channels_last(const at::Tensor& t) {
  return t.is_contiguous(at::MemoryFormat::ChannelsLast) && !t.is_contiguous();
}

inline at::MemoryFormat format(bool channels_last) {
  return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

// Itself where it has them already.
inline at::Tensor as(const at::Tensor& t, at::ScalarType dtype, at::MemoryFormat format) {
  return t.to(dtype, /*non_blocking=*/false, /*copy=*/false, format).contiguous(format);
}

inline at::Tensor zeros(at::IntArrayRef size, at::TensorOptions options, at::MemoryFormat format) {
  return at::empty(size, options.memory_format(format)).zero_();
}

}  // namespace roibench
