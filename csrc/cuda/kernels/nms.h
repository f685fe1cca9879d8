// Launchers of nms.cu: device pointers in, the launch's cudaError_t out (0 is success). T is float or double.
#pragma once

#include <cstdint>

#include "../../exponential.h"

struct CUstream_st;

namespace roibench::cuda {

// Boxes, best first. classes may be null: all are of one class.
template <class T>
struct Candidates {
  const T* boxes;  // [n, 4], 16-byte aligned
  const int64_t* classes;
  int64_t n;
  T threshold;
};

// Working memory and result. `suppressed` and counts[0] must be 0 before.
struct NmsMemory {
  uint64_t* overlaps;    // [min(n, kNmsBand), kNmsBand / 64]
  uint32_t* suppressed;  // [2 * ceil(n / 64)], a bit for each candidate
  int64_t* kept;         // [n]: places of the boxes that are kept, in ascending order
  int64_t* counts;       // [bands + 1]: how many are kept before each band, and in all
};

constexpr int64_t kNmsBand = 4096;

inline int64_t nms_bands(int64_t n) {
  return (n + kNmsBand - 1) / kNmsBand;
}

// keys[i] ascend where scores[i] descend. Key is BitsOf<T>.
template <class T, class Key>
int score_keys(const T* scores, int64_t n, Key* keys, CUstream_st* stream);

template <class T>
int nms(const Candidates<T>& candidates, const NmsMemory& memory, CUstream_st* stream);

}  // namespace roibench::cuda
