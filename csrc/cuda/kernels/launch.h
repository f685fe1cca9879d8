// How kernels are launched: in one place, so that their source contains nothing that only nvcc can read.
#pragma once

#include <cuda_runtime.h>

namespace simt {

// Returns the cudaError_t of the launch as a number: 0 is success.
template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
           Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace simt
