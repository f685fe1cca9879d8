// The contract between the operators' torch glue (cpu/*.cpp) and the loops (cpu/kernels/*.h): plain arguments, and a
// table of functions. The loops are compiled once per SIMD level; kernels<T>() is the table for this machine.
#pragma once

#include <cstdint>

#include "../geometry.h"

// x86-64 has three levels (the psABI's names); any other machine runs the first one as plain C++.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define ROIBENCH_X86_LEVELS 1
#else
#define ROIBENCH_X86_LEVELS 0
#endif

namespace roibench {

// Boxes as one array per coordinate, so that a vector register holds as many boxes as it has lanes.
template <class T>
struct BoxColumns {
  T *x1, *y1, *x2, *y2, *area, *aspect;

  static constexpr int64_t columns = 6;
  static BoxColumns in(T* memory, int64_t n) {
    return {memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n, memory + 5 * n};
  }
};

template <class T>
struct RoiAlign {
  int64_t batch, channels, height, width;  // of the feature map, in memory as [batch, height, width, channels]
  int64_t bins_y, bins_x;                  // of the pooled map
  bool pooled_channels_last;  // pooled map in memory as [rois, y, x, channels], else [rois, channels, y, x]
  bool aligned;
  int64_t ratio;  // samples per bin and axis; <= 0: one per pixel
  T scale;
  const T* rois;  // [rois, 5]: batch index, x1, y1, x2, y2
};

template <class T>
struct Kernels {
  // Rows [begin, end) of [n, 4] boxes into columns of memory.
  void (*measure)(IouKind kind, const T* boxes, BoxColumns<T> out, int64_t begin, int64_t end);

  // overlap[i, j] for rows i in [begin, end), all j < m.
  void (*box_iou)(IouKind kind, const T* boxes1, BoxColumns<T> boxes2, int64_t m, T* out, int64_t begin, int64_t end);
  void (*box_iou_elementwise)(IouKind kind, const T* boxes1, const T* boxes2, T* out, int64_t begin, int64_t end);
  // The derivative by boxes `a`, rows [begin, end). grad(i, j) lies at grad[i * step_a + j * step_b]; the derivative by
  // the second argument is the same sum with the boxes and the steps exchanged.
  void (*box_iou_backward)(IouKind kind, const T* a, const T* b, int64_t m, const T* grad, int64_t step_a,
                           int64_t step_b, T* grad_a, int64_t begin, int64_t end);
  void (*box_iou_elementwise_backward)(IouKind kind, const T* boxes1, const T* boxes2, const T* grad, T* grad1,
                                       T* grad2, int64_t begin, int64_t end);

  // boxes[order[0..n)] are the candidates, best first. kept[i]: does candidate i survive?
  void (*nms)(const T* boxes, const int64_t* order, int64_t n, T threshold, bool* kept);

  // RoIs [begin, end) of the pooled map.
  void (*roi_align)(const RoiAlign<T>& shape, const T* input, T* pooled, int64_t begin, int64_t end);
  // Channels [begin, end) of image `image`, all RoIs.
  void (*roi_align_backward)(const RoiAlign<T>& shape, int64_t rois, const T* pooled_grad, T* input_grad, int64_t image,
                             int64_t begin, int64_t end);
};

struct SimdLevel {
  const char* name;
  Kernels<float> for_float;
  Kernels<double> for_double;
};

extern const SimdLevel simd_v2;
#if ROIBENCH_X86_LEVELS
extern const SimdLevel simd_v3, simd_v4;
#endif

// The level in use: the best that this machine has, or the one that ROIBENCH_SIMD names. Throws where it names another.
const SimdLevel& simd_level();

template <class T>
const Kernels<T>& kernels();
template <>
inline const Kernels<float>& kernels<float>() {
  return simd_level().for_float;
}
template <>
inline const Kernels<double>& kernels<double>() {
  return simd_level().for_double;
}

}  // namespace roibench
