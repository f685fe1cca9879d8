// The overlap of boxes on the GPU. The formulas, and so the results to the last bit, are the CPU's (geometry.h); only
// the order in which pairwise gradients are summed differs.
//
// Forward: a thread keeps one box of boxes2 in registers and walks down the rows, so that a warp writes 32 neighbours
// of a row at once. Memory: writes N*M numbers (coalesced), reads M boxes, and N boxes that a whole warp shares.
// Backward: a warp sums one row of pairs; lanes take every 32nd pair and add up by shuffles in a fixed order, so it is
// deterministic without atomics. Memory: reads N*M gradients for each side, across rows (uncoalesced) for the second.
#include "box_iou.h"

#include "launch.h"
#include "reduce.h"

namespace roibench::cuda {
namespace {

using simt::kWarp;

constexpr int kThreads = 256;
constexpr int kRowsPerThread = 16;
constexpr int64_t kMostBlocksY = 65535;

template <class T>
__device__ __forceinline__ Box<T> load(const T* __restrict__ boxes, int64_t i) {
  return {boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
}
template <class T>
__device__ __forceinline__ void store(T* __restrict__ boxes, int64_t i, const Box<T>& b) {
  boxes[4 * i] = b.x1, boxes[4 * i + 1] = b.y1, boxes[4 * i + 2] = b.x2, boxes[4 * i + 3] = b.y2;
}

int64_t blocks(int64_t items, int64_t per_block) {
  return (items + per_block - 1) / per_block;
}

}  // namespace

template <IouKind kind, class T>
__global__ void box_iou_kernel(const T* __restrict__ boxes1, int64_t n, const T* __restrict__ boxes2, int64_t m,
                               T* __restrict__ out) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= m) return;
  const Measured<T> b = measured<kind>(load(boxes2, j));
  for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    out[i * m + j] = overlap<kind>(measured<kind>(load(boxes1, i)), b);
  }
}

template <IouKind kind, class T>
__global__ void box_iou_elementwise_kernel(const T* __restrict__ boxes1, const T* __restrict__ boxes2, int64_t n,
                                           T* __restrict__ out) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) out[i] = overlap<kind>(measured<kind>(load(boxes1, i)), measured<kind>(load(boxes2, i)));
}

template <IouKind kind, class T>
__global__ void box_iou_backward_kernel(const T* __restrict__ a, int64_t n, const T* __restrict__ b, int64_t m,
                                        const T* __restrict__ grad, int64_t step_a, int64_t step_b,
                                        T* __restrict__ grad_a) {
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  if (i >= n) return;  // a whole warp at once, so that the shuffles below find all their lanes
  const Measured<T> mine = measured<kind>(load(a, i));
  Box<T> sum = {0, 0, 0, 0};
  for (int64_t j = threadIdx.x % kWarp; j < m; j += kWarp) {
    const T d = grad[i * step_a + j * step_b];
    Box<T> other = {0, 0, 0, 0};
    if (d != T(0)) overlap_backward<kind>(mine, measured<kind>(load(b, j)), d, sum, other);
  }
  sum = {sum_over_warp(sum.x1), sum_over_warp(sum.y1), sum_over_warp(sum.x2), sum_over_warp(sum.y2)};
  if (threadIdx.x % kWarp == 0) store(grad_a, i, sum);
}

template <IouKind kind, class T>
__global__ void box_iou_elementwise_backward_kernel(const T* __restrict__ boxes1, const T* __restrict__ boxes2,
                                                    int64_t n, const T* __restrict__ grad, T* __restrict__ grad1,
                                                    T* __restrict__ grad2) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Box<T> one = {0, 0, 0, 0}, two = {0, 0, 0, 0};
  overlap_backward<kind>(measured<kind>(load(boxes1, i)), measured<kind>(load(boxes2, i)), grad[i], one, two);
  store(grad1, i, one);
  store(grad2, i, two);
}

template <class T>
int box_iou(IouKind kind, const T* boxes1, int64_t n, const T* boxes2, int64_t m, T* out, CUstream_st* stream) {
  const int64_t rows = blocks(n, kRowsPerThread);
  const dim3 grid(blocks(m, kThreads), rows < kMostBlocksY ? rows : kMostBlocksY);
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_kernel<K, T>, grid, kThreads, 0, stream, boxes1, n, boxes2, m, out);
  });
}

template <class T>
int box_iou_elementwise(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, T* out, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_elementwise_kernel<K, T>, blocks(n, kThreads), kThreads, 0, stream, boxes1, boxes2, n,
                        out);
  });
}

template <class T>
int box_iou_backward(IouKind kind, const T* a, int64_t n, const T* b, int64_t m, const T* grad, int64_t step_a,
                     int64_t step_b, T* grad_a, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_backward_kernel<K, T>, blocks(n, kThreads / kWarp), kThreads, 0, stream, a, n, b, m,
                        grad, step_a, step_b, grad_a);
  });
}

template <class T>
int box_iou_elementwise_backward(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, const T* grad, T* grad1,
                                 T* grad2, CUstream_st* stream) {
  return with_kind(kind, [&]<IouKind K>() {
    return simt::launch(box_iou_elementwise_backward_kernel<K, T>, blocks(n, kThreads), kThreads, 0, stream, boxes1,
                        boxes2, n, grad, grad1, grad2);
  });
}

#define ROIBENCH_INSTANTIATE(T)                                                                                \
  template int box_iou(IouKind, const T*, int64_t, const T*, int64_t, T*, CUstream_st*);                       \
  template int box_iou_elementwise(IouKind, const T*, const T*, int64_t, T*, CUstream_st*);                    \
  template int box_iou_backward(IouKind, const T*, int64_t, const T*, int64_t, const T*, int64_t, int64_t, T*, \
                                CUstream_st*);                                                                 \
  template int box_iou_elementwise_backward(IouKind, const T*, const T*, int64_t, const T*, T*, T*, CUstream_st*);
ROIBENCH_INSTANTIATE(float)
ROIBENCH_INSTANTIATE(double)

}  // namespace roibench::cuda
