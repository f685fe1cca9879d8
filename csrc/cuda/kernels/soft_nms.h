// Launcher of soft_nms.cu: device pointers in, the launch's cudaError_t out (0 is success). T is float or double.
#pragma once

#include <cstdint>

#include "../../soft_nms.h"

struct CUstream_st;

namespace roibench::cuda {

// How many boxes the block's registers hold.
template <class T>
constexpr int kSoftNmsInRegisters = sizeof(T) == 4 ? 4096 : 2048;

// boxes: [n, 4], 16-byte aligned. scores [n] are overwritten. order: the boxes from left to right, where n is not more
// than registers hold, else null. kept, kept_scores: room for n, of which *count are used.
template <class T>
int soft_nms(const SoftNms<T>& how, const T* boxes, T* scores, const int64_t* order, int64_t n, int64_t* kept,
             T* kept_scores, int64_t* count, CUstream_st* stream);

}  // namespace roibench::cuda
