// Launchers of ps_roi_pool.cu: device pointers in, the launch's cudaError_t out (0 is success). S, the type of the
// numbers, is float, double, __half or __nv_bfloat16; T, that of the arithmetic, is float, or double for double.
#pragma once

#include "windows.h"

struct __half;
struct __nv_bfloat16;

namespace roibench::cuda {

// pooled: [windows, channels / bins, rows, columns].
template <class S>
int ps_roi_pool(const Windows& windows, const S* input, S* pooled, CUstream_st* stream);

// Adds to input_grad, in any order.
template <class T>
int ps_roi_pool_backward(const Windows& windows, const T* grad, T* input_grad, CUstream_st* stream);

// Writes input_grad, each number summed over RoIs in their order.
template <class T>
int ps_roi_pool_backward_deterministic(const Windows& windows, const T* grad, T* input_grad, CUstream_st* stream);

}  // namespace roibench::cuda
