// Launcher of soft_nms.cu: device pointers in, the launch's cudaError_t out (0 is success). T is float or double.
#pragma once

#include <cstdint>

#include "../../soft_nms.h"

struct CUstream_st;

namespace roibench::cuda {

// boxes: [n, 4], 16-byte aligned. scores [n] are overwritten. kept, kept_scores: room for n, of which *count are used.
template <class T>
int soft_nms(const SoftNms<T>& how, const T* boxes, T* scores, int64_t n, int64_t* kept, T* kept_scores, int64_t* count,
             CUstream_st* stream);

}  // namespace roibench::cuda
