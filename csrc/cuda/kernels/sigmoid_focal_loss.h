// Launchers of sigmoid_focal_loss.cu: device pointers in, the launch's cudaError_t out (0 is success). S, the type of
// the numbers, is float, double, __half or __nv_bfloat16; T, that of the arithmetic, is float, or double for double.
// All arrays are 16-byte aligned.
#pragma once

#include <cstdint>

#include "../../focal_loss.h"

struct CUstream_st;
struct __half;
struct __nv_bfloat16;

namespace roibench::cuda {

template <class S, class T>
int focal_loss(const FocalLoss<T>& loss, const S* x, const S* t, int64_t n, S* out, CUstream_st* stream);

// Numbers whose losses are summed together, in their arithmetic; the sums in float64.
constexpr int64_t kFocalLossChunk = 1024;

// *out: the sum or the mean. sums: room for ceil(n / kFocalLossChunk).
template <class S, class T>
int focal_loss_sum(const FocalLoss<T>& loss, bool mean, const S* x, const S* t, int64_t n, double* sums, S* out,
                   CUstream_st* stream);

// out = grad * the derivative of the given order, 1 or 2, by x. Without grad, it is *same for all.
template <class S, class T>
int focal_loss_derivative(const FocalLoss<T>& loss, int64_t order, const S* grad, const T* same, const S* x, const S* t,
                          int64_t n, S* out, CUstream_st* stream);

}  // namespace roibench::cuda
