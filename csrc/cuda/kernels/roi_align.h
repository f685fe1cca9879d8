// Launchers of roi_align.cu: device pointers in, the launch's cudaError_t out (0 is success). S, the type of the
// numbers, is float, double, __half or __nv_bfloat16; T, that of the arithmetic and of the RoIs, is float, or double
// for double. Where channels are vectorized, arrays are 16-byte aligned.
#pragma once

#include <type_traits>

#include "feature_map.h"

struct CUstream_st;
struct __half;
struct __nv_bfloat16;

namespace roibench::cuda {

template <class T>
struct RoiAlignShape {
  FeatureMap map;  // the pooled map has the same order in memory
  int bins_y, bins_x;
  bool aligned;
  int64_t ratio;  // samples per bin and axis; <= 0: one per pixel
  T scale;

  ROIBENCH_HD int bins() const { return bins_y * bins_x; }
  ROIBENCH_HD int edges() const { return bins_y + bins_x; }
};

// What a bin takes of a pixel, along one axis.
template <class T>
struct alignas(2 * sizeof(T)) Tap {
  T weight;
  std::conditional_t<sizeof(T) == 8, int64_t, int> index;  // as long as the weight: one access for both
};

// The taps of every RoI, in device memory.
template <class T>
struct RoiAlignTaps {
  int capacity_y, capacity_x;  // for the taps of a RoI
  Tap<T>* taps;                // [rois, capacity_y + capacity_x]
  Span* bins;                  // [rois, edges]: where the taps of a row of bins, then of a column of bins, stand
  Span* covered;               // [rois, 2]: the rows and columns of pixels that have a tap
  int* image;                  // [rois], or -1

  // Memory for n RoIs, in bytes, and its division.
  static int64_t bytes(const RoiAlignShape<T>& shape, int64_t n);
  static RoiAlignTaps in(void* memory, const RoiAlignShape<T>& shape, int64_t n);
};

// rois: [n, 5]. Fills taps.
template <class T>
int roi_align_taps(const RoiAlignShape<T>& shape, const T* rois, int64_t n, const RoiAlignTaps<T>& taps,
                   CUstream_st* stream);

// pooled: [n, channels, bins_y, bins_x].
template <class S, class T>
int roi_align(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n, const S* input, S* pooled,
              CUstream_st* stream);

// Adds to input_grad, in any order.
template <class S, class T>
int roi_align_backward(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n, const S* grad,
                       T* input_grad, CUstream_st* stream);

// Writes input_grad, each number summed over RoIs in their order. Everything is channels-last.
template <class T>
int roi_align_backward_deterministic(const RoiAlignShape<T>& shape, const RoiAlignTaps<T>& taps, int64_t n,
                                     const T* grad, T* input_grad, CUstream_st* stream);

}  // namespace roibench::cuda
