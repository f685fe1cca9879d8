// What the bindings of every CUDA operator needs: the stream that torch works on, launches checked, tensors that
// kernels can read 16 bytes at a time.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

namespace roibench::cuda {

// Of the current device: a DeviceGuard comes first.
inline cudaStream_t current_stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

// The result of a launcher (kernels/*.h) as an exception.
inline void check_launch(int error) {
  C10_CUDA_CHECK(static_cast<cudaError_t>(error));
}

// Itself, unless it is a view that begins in the middle of 16 bytes.
inline at::Tensor aligned(const at::Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0 ? t : t.clone();
}

}  // namespace roibench::cuda
