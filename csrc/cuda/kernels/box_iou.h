// Launchers of box_iou.cu: device pointers in, 16-byte aligned, the launch's cudaError_t out (0 is success). T is float
// or double.
#pragma once

#include <cstdint>

#include "../../geometry/overlap.h"

struct CUstream_st;

namespace roibench::cuda {

// out[n, m], overlap of every box with every other.
template <class T>
int box_iou(IouKind kind, const T* boxes1, int64_t n, const T* boxes2, int64_t m, T* out, CUstream_st* stream);

// out[n], overlap of boxes1[i] with boxes2[i].
template <class T>
int box_iou_elementwise(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, T* out, CUstream_st* stream);

// grad1[n, 4] and grad2[m, 4] from grad[n, m].
template <class T>
int box_iou_backward(IouKind kind, const T* boxes1, int64_t n, const T* boxes2, int64_t m, const T* grad, T* grad1,
                     T* grad2, CUstream_st* stream);

template <class T>
int box_iou_elementwise_backward(IouKind kind, const T* boxes1, const T* boxes2, int64_t n, const T* grad, T* grad1,
                                 T* grad2, CUstream_st* stream);

}  // namespace roibench::cuda
