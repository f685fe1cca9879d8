// Every intrinsic that kernels may use, one kernel per kind: they test the emulator and the PTX translator themselves.
#include "launch.h"
#include "reduce.h"
#include "vector.h"

namespace roibench::cuda {

constexpr int kWarpResults = 12;

// out: kWarpResults rows of n.
__global__ void __launch_bounds__(128) warp_kernel(const int* __restrict__ x, int* __restrict__ out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
  const int v = i < n ? x[i] : 0;
  int r[kWarpResults];
  r[0] = __shfl_xor_sync(simt::kAllLanes, v, 5);
  r[1] = __shfl_up_sync(simt::kAllLanes, v, 3);
  r[2] = __shfl_down_sync(simt::kAllLanes, v, 7, 16);
  r[3] = __shfl_sync(simt::kAllLanes, v, 9);
  r[4] = int(__ballot_sync(simt::kAllLanes, v & 1));
  r[5] = __popc(r[4]) + __ffs(v) + __clz(v);
  r[6] = __popcll(static_cast<unsigned long long>(v) * 0x100000001ull);
  r[7] = __syncthreads_count(v & 2);
  r[8] = __any_sync(simt::kAllLanes, v == 12345) + 2 * __all_sync(simt::kAllLanes, v > 1000);
  r[9] = lane < 16 ? __shfl_sync(0x0000ffffu, v, 3, 8) : __shfl_sync(0xffff0000u, v, 20);
  r[10] = __reduce_max_sync(simt::kAllLanes, v);
  r[11] = int(__match_any_sync(simt::kAllLanes, v % 3));
  if (i < n) {
    for (int k = 0; k < kWarpResults; ++k) out[k * n + i] = r[k];
  }
}

// A histogram in dynamic shared memory; the largest number; a sum; a compare-and-swap that counts by hand.
__global__ void __launch_bounds__(96)
    atomics_kernel(const int* __restrict__ x, int* __restrict__ histogram, int* __restrict__ largest,
                   double* __restrict__ sum, unsigned long long* __restrict__ count, int n, int bins) {
  ROIBENCH_DYNAMIC_SHARED(here, int);
  for (int b = threadIdx.x; b < bins; b += blockDim.x) here[b] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    atomicAdd(&here[x[i] % bins], 1);
    atomicMax(largest, x[i]);
    atomicAdd(sum, double(x[i]));
    unsigned long long before = atomicAdd(count, 0ull), found;
    while ((found = atomicCAS(count, before, before + 1)) != before) before = found;
  }
  __syncthreads();
  for (int b = threadIdx.x; b < bins; b += blockDim.x) atomicAdd(histogram + b, here[b]);
}

// y = 2 x + 1 in vectors, and the sum of x in a fixed order.
template <class T>
__global__ void __launch_bounds__(64)
    vectors_kernel(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ sum, int64_t n) {
  constexpr int kAtOnce = 16 / sizeof(T);
  float total = 0;
  for (int64_t i = threadIdx.x; i < n / kAtOnce; i += 64) {
    Vector<T, kAtOnce> v = load_vector<kAtOnce>(x + i * kAtOnce);
    for (T& e : v.at) {
      total += float(e);
      e = T(2 * float(e) + 1);
    }
    store_vector(y + i * kAtOnce, v);
  }
  total = sum_over_block<64>(total);
  if (threadIdx.x == 0) *sum = total;
}

// Transposes 32 x 32 tiles through shared memory.
__global__ void __launch_bounds__(256) transpose_kernel(const float* __restrict__ x, float* __restrict__ y, int size) {
  ROIBENCH_SHARED(tile, float[32][33]);
  for (int row = threadIdx.y; row < 32; row += 8) {
    tile[row][threadIdx.x] = x[(blockIdx.y * 32 + row) * size + blockIdx.x * 32 + threadIdx.x];
  }
  __syncthreads();
  for (int row = threadIdx.y; row < 32; row += 8) {
    y[(blockIdx.x * 32 + row) * size + blockIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][row];
  }
}

constexpr int kMathResults = 14;

// out: kMathResults rows of n.
template <class T>
__global__ void math_kernel(const T* __restrict__ x, T* __restrict__ out, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const T v = x[i];
  const T r[kMathResults] = {exp(v),
                             log(v < 0 ? -v : v),
                             log1p(v < 0 ? -v : v),
                             sqrt(v < 0 ? -v : v),
                             pow(v < 0 ? -v : v, T(1.7)),
                             atan2(v, T(2)),
                             tanh(v),
                             floor(v),
                             ceil(v),
                             round(v),
                             T(int64_t(v)),
                             fmin(v, T(1)),
                             fmax(v, T(1)),
                             T(1) / v};
  for (int k = 0; k < kMathResults; ++k) out[k * n + i] = r[k];
}

struct Shape {
  int64_t n;
  float scale;
  int shift;
};

__global__ void structure_kernel(Shape shape, const float* __restrict__ x, float* __restrict__ y) {
  const int64_t i = threadIdx.x;
  if (i < shape.n) y[i] = x[i] * shape.scale + float(shape.shift);
}

int warp(const int* x, int* out, int n, CUstream_st* stream) {
  return simt::launch(warp_kernel, (n + 127) / 128, 128, 0, stream, x, out, n);
}
int atomics(const int* x, int* histogram, int* largest, double* sum, unsigned long long* count, int n, int bins,
            CUstream_st* stream) {
  return simt::launch(atomics_kernel, 3, 96, bins * sizeof(int), stream, x, histogram, largest, sum, count, n, bins);
}
template <class T>
int vectors(const T* x, T* y, float* sum, int64_t n, CUstream_st* stream) {
  return simt::launch(vectors_kernel<T>, 1, 64, 0, stream, x, y, sum, n);
}
template int vectors(const float*, float*, float*, int64_t, CUstream_st*);
template int vectors(const double*, double*, float*, int64_t, CUstream_st*);
template int vectors(const __half*, __half*, float*, int64_t, CUstream_st*);
template int vectors(const __nv_bfloat16*, __nv_bfloat16*, float*, int64_t, CUstream_st*);
int transpose(const float* x, float* y, int size, CUstream_st* stream) {
  return simt::launch(transpose_kernel, dim3(size / 32, size / 32), dim3(32, 8), 0, stream, x, y, size);
}
template <class T>
int math(const T* x, T* out, int64_t n, CUstream_st* stream) {
  return simt::launch(math_kernel<T>, simt::strided_grid(n, 64), 64, 0, stream, x, out, n);
}
template int math(const float*, float*, int64_t, CUstream_st*);
template int math(const double*, double*, int64_t, CUstream_st*);
int structure(Shape shape, const float* x, float* y, CUstream_st* stream) {
  return simt::launch(structure_kernel, 1, 64, 0, stream, shape, x, y);
}

}  // namespace roibench::cuda
