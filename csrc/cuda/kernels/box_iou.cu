// The overlap of boxes on the GPU. The formulas, and so the results to the last bit, are the CPU's
// (geometry/overlap.h); only the order in which pairwise gradients are summed differs.
//
// Forward: a thread keeps 16 bytes' worth of neighbours of boxes2 in registers and walks down the rows, whose boxes the
// block has measured once, in shared memory. Memory: writes N*M numbers in accesses of 16 bytes, reads M boxes, and N
// boxes per block column. With 25 operations and a division per pair, it computes about as long as it writes.
// Backward: each side has a kernel that adds up its boxes' pairs in a fixed order, without atomics: a warp walks along
// a row for boxes1; for boxes2, a warp takes 32 columns at once, and eight warps share their rows. Memory: reads N*M
// gradients for each side, side by side.
#include "box_iou.h"

#include "boxes.h"
#include "launch.h"
#include "reduce.h"

namespace roibench::cuda {
namespace {

using simt::kWarp;

constexpr int kThreads = 256;
constexpr int kRows = 32;          // of a tile, in shared memory
constexpr int kTileThreads = 128;  // along its columns
constexpr int kColumnGroups = 8;   // warps that share the rows of 32 columns
// Blocks per multiprocessor, at least: where nothing is said, ptxas spills at 64 registers.
constexpr int kBlocksAtLeast = 2, kTileBlocksAtLeast = 5;
constexpr int64_t kMaxBlocksY = 65535;

template <class T>
constexpr int kLanes = 16 / sizeof(T);

int64_t blocks(int64_t items, int64_t per_block) {
  return (items + per_block - 1) / per_block;
}

}  // namespace

// whole: m is a multiple of kLanes<T>, so that rows begin at multiples of 16 bytes.
template <bool whole, IouKind kind, class T>
__global__ void __launch_bounds__(kTileThreads, kTileBlocksAtLeast)
    box_iou_kernel(const T* __restrict__ boxes1, int64_t n, const T* __restrict__ boxes2, int64_t m,
                   T* __restrict__ out) {
  constexpr int kOwn = whole ? kLanes<T> : 1;
  ROIBENCH_SHARED(rows, Measured<T>[kRows]);
  const int64_t j = (int64_t(blockIdx.x) * kTileThreads + threadIdx.x) * kOwn;
  Measured<T> mine[kOwn];
#pragma unroll
  for (int k = 0; k < kOwn; ++k) mine[k] = measured<kind>(load_box(boxes2, j < m ? j + k : 0));

  // Counted in vectors: a pointer to numbers would lose its alignment, and nvcc would store them one by one.
  Vector<T, kOwn>* const to = reinterpret_cast<Vector<T, kOwn>*>(out) + j / kOwn;
  for (int64_t first = int64_t(blockIdx.y) * kRows; first < n; first += int64_t(gridDim.y) * kRows) {
    const int count = n - first < kRows ? int(n - first) : kRows;
    __syncthreads();
    if (int(threadIdx.x) < count) rows[threadIdx.x] = measured<kind>(load_box(boxes1, first + threadIdx.x));
    __syncthreads();
    if (j >= m) continue;
    for (int r = 0; r < count; ++r) {
      Vector<T, kOwn> overlaps;
#pragma unroll
      for (int k = 0; k < kOwn; ++k) overlaps.at[k] = overlap<kind>(rows[r], mine[k]);
      to[(first + r) * (m / kOwn)] = overlaps;
    }
  }
}

template <IouKind kind, class T>
__global__ void __launch_bounds__(kThreads)
    box_iou_elementwise_kernel(const T* __restrict__ boxes1, const T* __restrict__ boxes2, int64_t n,
                               T* __restrict__ out) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    out[i] = overlap<kind>(measured<kind>(load_box(boxes1, i)), measured<kind>(load_box(boxes2, i)));
  }
}

// Adds to `sum` the derivative by `mine` of d times its overlap with `other`.
template <IouKind kind, class T>
__device__ __forceinline__ void add_derivative(const Measured<T>& mine, const Measured<T>& other, T d, Box<T>& sum) {
  Box<T> of_other = {0, 0, 0, 0};
  if (d != T(0)) overlap_backward<kind>(mine, other, d, sum, of_other);
}

template <IouKind kind, class T>
__global__ void __launch_bounds__(kThreads, kBlocksAtLeast)
    box_iou_backward_rows_kernel(const T* __restrict__ boxes1, int64_t n, const T* __restrict__ boxes2, int64_t m,
                                 const T* __restrict__ grad, T* __restrict__ grad1) {
  const int64_t step = int64_t(gridDim.x) * (kThreads / kWarp);
  for (int64_t i = int64_t(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp; i < n; i += step) {
    const Measured<T> mine = measured<kind>(load_box(boxes1, i));
    Box<T> sum = {0, 0, 0, 0};
    for (int64_t j = threadIdx.x % kWarp; j < m; j += kWarp) {
      add_derivative<kind>(mine, measured<kind>(load_box(boxes2, j)), grad[i * m + j], sum);
    }
    sum = {sum_over_warp(sum.x1), sum_over_warp(sum.y1), sum_over_warp(sum.x2), sum_over_warp(sum.y2)};
    if (threadIdx.x % kWarp == 0) store_box(grad1, i, sum);
  }
}

template <IouKind kind, class T>
__global__ void __launch_bounds__(kColumnGroups* kWarp, kBlocksAtLeast)
    box_iou_backward_columns_kernel(const T* __restrict__ boxes1, int64_t n, const T* __restrict__ boxes2, int64_t m,
                                    const T* __restrict__ grad, T* __restrict__ grad2) {
  const int lane = threadIdx.x % kWarp, group = threadIdx.x / kWarp;
  const int64_t j = int64_t(blockIdx.x) * kWarp + lane;
  Box<T> sum = {0, 0, 0, 0};
  if (j < m) {
    const Measured<T> mine = measured<kind>(load_box(boxes2, j));
    for (int64_t i = group; i < n; i += kColumnGroups) {
      add_derivative<kind>(mine, measured<kind>(load_box(boxes1, i)), grad[i * m + j], sum);
    }
  }
  ROIBENCH_SHARED(sums, Box<T>[kColumnGroups][kWarp]);
  sums[group][lane] = sum;
  __syncthreads();
  if (group > 0 || j >= m) return;
  for (int g = 1; g < kColumnGroups; ++g) {
    const Box<T> other = sums[g][lane];
    sum = {sum.x1 + other.x1, sum.y1 + other.y1, sum.x2 + other.x2, sum.y2 + other.y2};
  }
  store_box(grad2, j, sum);
}

template <IouKind kind, class T>
__global__ void __launch_bounds__(kThreads, kBlocksAtLeast)
    box_iou_elementwise_backward_kernel(const T* __restrict__ boxes1, const T* __restrict__ boxes2, int64_t n,
                                        const T* __restrict__ grad, T* __restrict__ grad1, T* __restrict__ grad2) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    Box<T> one = {0, 0, 0, 0}, two = {0, 0, 0, 0};
    overlap_backward<kind>(measured<kind>(load_box(boxes1, i)), measured<kind>(load_box(boxes2, i)), grad[i], one, two);
    store_box(grad1, i, one);
    store_box(grad2, i, two);
  }
}

template <class T>
int box_iou(IouKind kind, const T* boxes1, int64_t n, const T* boxes2, int64_t m, T* out, CUstream_st* stream) {
  const bool whole = m % kLanes<T> == 0;
  const int64_t row_tiles = blocks(n, kRows);
  const dim3 grid(blocks(m, kTileThreads * (whole ? kLanes<T> : 1)), row_tiles < kMaxBlocksY ? row_tiles : kMaxBlocksY);
  return with_kind(kind, [&]<IouKind K>() {
    const auto kernel = whole ? box_iou_kernel<true, K, T> : box_iou_kernel<false, K, T>;
    return simt::launch(kernel, grid, kTileThreads, 0, stream, boxes1, n, boxes2, m, out);
  });
}

template <class T>
int box_iou_elementwise(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, T* out, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_elementwise_kernel<K, T>, simt::strided_grid(n, kThreads), kThreads, 0, stream, boxes1,
                        boxes2, n, out);
  });
}

template <class T>
int box_iou_backward(IouKind kind, const T* boxes1, int64_t n, const T* boxes2, int64_t m, const T* grad, T* grad1,
                     T* grad2, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    const int error = simt::launch(box_iou_backward_rows_kernel<K, T>, simt::strided_grid(n * kWarp, kThreads),
                                   kThreads, 0, stream, boxes1, n, boxes2, m, grad, grad1);
    if (error) return error;
    return simt::launch(box_iou_backward_columns_kernel<K, T>, blocks(m, kWarp), kColumnGroups * kWarp, 0, stream,
                        boxes1, n, boxes2, m, grad, grad2);
  });
}

template <class T>
int box_iou_elementwise_backward(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, const T* grad, T* grad1,
                                 T* grad2, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_elementwise_backward_kernel<K, T>, simt::strided_grid(n, kThreads), kThreads, 0, stream,
                        boxes1, boxes2, n, grad, grad1, grad2);
  });
}

#define ROIBENCH_INSTANTIATE(T)                                                                                 \
  template int box_iou(IouKind, const T*, int64_t, const T*, int64_t, T*, CUstream_st*);                        \
  template int box_iou_elementwise(IouKind, const T*, const T*, int64_t, T*, CUstream_st*);                     \
  template int box_iou_backward(IouKind, const T*, int64_t, const T*, int64_t, const T*, T*, T*, CUstream_st*); \
  template int box_iou_elementwise_backward(IouKind, const T*, const T*, int64_t, const T*, T*, T*, CUstream_st*);
ROIBENCH_INSTANTIATE(float)
ROIBENCH_INSTANTIATE(double)

}  // namespace roibench::cuda
