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

constexpr int kNmsBand = 4096;

// Where suppression stands.
struct NmsState {
  int64_t next;          // candidates before it were in a band, or are suppressed
  int64_t band;          // how many the present band has
  int64_t before, kept;  // how many boxes were kept before this band, and with it
};

// Working memory and result. `state` and `suppressed` must be 0 before.
struct NmsMemory {
  NmsState* state;
  uint32_t* suppressed;  // [2 * ceil(n / 64)], a bit for each candidate
  uint64_t* overlaps;    // [kNmsBand / 64, kNmsBand]: which of so many better ones of the band each of it overlaps
  int64_t* band;         // [kNmsBand]: places of the band's candidates
  int64_t* kept;         // [n]: places of the boxes that are kept, in ascending order
};

// Candidates of one class, side by side: the first of them, and the first behind them.
struct ClassSpan {
  int64_t begin, end;
};
struct ClassSpans {
  ClassSpan* span;  // [n], in any order
  int* count;       // how many there are, and how many candidates the largest class has: [2], 0 before
};

// So many candidates of a class a block goes through by itself.
template <class T>
constexpr int kNmsOfClass = sizeof(T) == 4 ? 4096 : 2048;

// keys[i] ascend where scores[i] descend. Key is BitsOf<T>.
template <class T, class Key>
int score_keys(const T* scores, int64_t n, Key* keys, CUstream_st* stream);

template <class T>
int nms(const Candidates<T>& candidates, const NmsMemory& memory, CUstream_st* stream);

// classes: [n], those of each class side by side.
int class_spans(const int64_t* classes, int64_t n, const ClassSpans& spans, CUstream_st* stream);

// The `count` classes of candidates, in each of which the best come first. kept[place[i]] becomes true where i is kept,
// and must be false before.
template <class T>
int nms_of_classes(const Candidates<T>& candidates, const ClassSpans& spans, int count, const int64_t* place,
                   bool* kept, CUstream_st* stream);

}  // namespace roibench::cuda
