// Kernels with mistakes that the emulator must notice by itself, whatever they compute.
#include "launch.h"

namespace roibench::cuda {

__global__ void divergent_barrier_kernel(int* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void two_barriers_kernel(int* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = 1;
    __syncthreads();
  } else {
    out[threadIdx.x] = 2;
    __syncthreads();
    out[threadIdx.x] = 3;
  }
}
__global__ void barrier_after_return_kernel(int* out) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void shuffle_against_barrier_kernel(int* out) {
  int v = threadIdx.x;
  if (threadIdx.x % 32 < 16) {
    v = __shfl_sync(simt::kAllLanes, v, 0);
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = v;
}
__global__ void outside_its_mask_kernel(int* out) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffu, int(threadIdx.x), 0);
}
__global__ void misaligned_kernel(int* out) {
  reinterpret_cast<int4*>(out + 1)[threadIdx.x % 4] = make_int4(0, 0, 0, 0);
}
__global__ void __launch_bounds__(32) too_small_kernel(int* out) {
  out[threadIdx.x] = 1;
}

// What only garbage, or a sanitizer, gives away.
__global__ void unwritten_shared_kernel(int* out) {
  ROIBENCH_SHARED(values, int[64]);
  if (threadIdx.x == 99) values[0] = 0;
  out[threadIdx.x] = values[threadIdx.x];
}
__global__ void beyond_shared_kernel(int* out) {
  ROIBENCH_SHARED(values, int[64]);
  values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + out[0]];
}
__global__ void beyond_dynamic_shared_kernel(int* out) {
  ROIBENCH_DYNAMIC_SHARED(values, int);
  values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + out[0]];
}
__global__ void beyond_global_kernel(int* out) {
  out[threadIdx.x + out[0]] = 1;
}
__global__ void missing_barrier_kernel(int* out) {
  ROIBENCH_SHARED(values, int[64]);
  values[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = values[63 - threadIdx.x];
}
__global__ void missing_syncwarp_kernel(int* out) {
  ROIBENCH_SHARED(values, int[64]);
  values[threadIdx.x] = threadIdx.x;
  __shfl_sync(simt::kAllLanes, 0, 0);  // brings the lanes together, but orders no memory
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}
__global__ void missing_atomic_kernel(int* out) {
  out[0] += 1;
}
__global__ void blocks_collide_kernel(int* out) {
  __syncthreads();
  if (threadIdx.x == 0) out[0] = blockIdx.x;
}

// Right, so that the sanitizers must be silent.
__global__ void correct_kernel(int* out) {
  ROIBENCH_SHARED(values, int[64]);
  values[threadIdx.x] = threadIdx.x;
  __syncwarp();
  int v = values[threadIdx.x ^ 1];
  __syncthreads();
  values[threadIdx.x] = v;
  __syncthreads();
  v = values[63 - threadIdx.x];
  atomicAdd(out + 64, v);
  if (blockIdx.x == 0) out[threadIdx.x] = v;
}

#define ROIBENCH_MISTAKE(name)                                                             \
  int name(int* out, int blocks, int threads, int64_t shared_bytes, CUstream_st* stream) { \
    return simt::launch(name##_kernel, blocks, threads, shared_bytes, stream, out);        \
  }
ROIBENCH_MISTAKE(divergent_barrier)
ROIBENCH_MISTAKE(two_barriers)
ROIBENCH_MISTAKE(barrier_after_return)
ROIBENCH_MISTAKE(shuffle_against_barrier)
ROIBENCH_MISTAKE(outside_its_mask)
ROIBENCH_MISTAKE(misaligned)
ROIBENCH_MISTAKE(too_small)
ROIBENCH_MISTAKE(unwritten_shared)
ROIBENCH_MISTAKE(beyond_shared)
ROIBENCH_MISTAKE(beyond_dynamic_shared)
ROIBENCH_MISTAKE(beyond_global)
ROIBENCH_MISTAKE(missing_barrier)
ROIBENCH_MISTAKE(missing_syncwarp)
ROIBENCH_MISTAKE(missing_atomic)
ROIBENCH_MISTAKE(blocks_collide)
ROIBENCH_MISTAKE(correct)

}  // namespace roibench::cuda
