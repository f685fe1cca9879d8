// What every kernel includes instead of CUDA's headers, so that one source has two compilers: nvcc for the GPU, and g++
// for the emulator in tests/simt, which runs each CUDA thread as a fiber. Everything that only nvcc can read (a launch,
// __shared__) has a spelling here that both can; the rest of CUDA's names mean the same to both.
//
// A kernel has external linkage (no anonymous namespace): its PTX is found again by its name.
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include <simt.h>
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
// Shared memory of a block: ROIBENCH_SHARED(tile, float[32][33]);
#define ROIBENCH_SHARED(name, ...) __shared__ std::type_identity_t<__VA_ARGS__> name
// The launch's shared_bytes, 16-byte aligned: ROIBENCH_DYNAMIC_SHARED(values, float); makes `float* values`.
#define ROIBENCH_DYNAMIC_SHARED(name, ...)                 \
  extern __shared__ __align__(16) unsigned char dynamic[]; \
  std::type_identity_t<__VA_ARGS__>* const name = reinterpret_cast<std::type_identity_t<__VA_ARGS__>*>(dynamic)
#endif

namespace simt {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

#if defined(__CUDACC__)
// Returns the cudaError_t of the launch as a number: 0 is success.
template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
           Arguments... arguments) {
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  }
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  return static_cast<int>(cudaGetLastError());
}

// Of the current device. The emulator has few, so that grid-stride loops go round there too.
inline int multiprocessors() {
  int device = 0, count = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}
#endif

// Blocks for a grid-stride loop over `items`: as many as run at once, or fewer where that is enough.
inline unsigned strided_grid(int64_t items, int threads) {
  constexpr int64_t kThreadsPerMultiprocessor = 2048;
  const int64_t needed = (items + threads - 1) / threads;
  const int64_t resident = multiprocessors() * (kThreadsPerMultiprocessor / threads);
  return unsigned(needed < resident ? needed : resident);
}

}  // namespace simt
