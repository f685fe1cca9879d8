// The contract between the operators' torch bindings (cpu/*.cpp) and the loops (cpu/kernels/*.h): plain arguments, and
// a table of functions. The loops are compiled once per SIMD level; kernels<T>() is the table for this machine.
#pragma once

#include <cstdint>

#include "../focal_loss.h"
#include "../geometry/bins.h"
#include "../geometry/overlap.h"
#include "../soft_nms.h"

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

// Windows of feature maps, each cut into one or several grids of bins.
struct Windows {
  int64_t channels, height, width;  // of a map
  const Grid* grids;
  int64_t levels;        // how many grids
  int64_t bins, edges;   // of one window: rows * columns and rows + columns, summed over its grids
  const int64_t* image;  // [windows]: which map of the batch
  const Range* pixels;   // [windows, edges]: for every grid the pixel rows of its rows, then those of its columns
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
  // Writes the boxes that are left and their new scores, best first; returns how many.
  int64_t (*soft_nms)(SoftNms<T> how, const T* boxes, const T* scores, int64_t n, int64_t* kept, T* kept_scores);

  // target[c, r] = source[r, c]; strides between rows.
  void (*transpose)(const T* source, int64_t rows, int64_t columns, int64_t source_stride, T* target,
                    int64_t target_stride);

  // RoIs [begin, end) of the pooled map.
  void (*roi_align)(const RoiAlign<T>& shape, const T* input, T* pooled, int64_t begin, int64_t end);
  // Channels [begin, end) of image `image`, all RoIs.
  void (*roi_align_backward)(const RoiAlign<T>& shape, int64_t rois, const T* pooled_grad, T* input_grad, int64_t image,
                             int64_t begin, int64_t end);

  // Fills windows.pixels for RoIs [begin, end) on maps of height x width. `last` is geometry/bins.h's.
  void (*roi_bins)(const Windows& windows, const T* rois, T scale, int64_t last, int64_t height, int64_t width,
                   Range* pixels, int64_t begin, int64_t end);

  // Channels [begin, end) of image `image`, all windows. argmax: [windows, bins, channels], the pixel or -1. Both
  // channels_last tell the order in memory: of the windows' gradient and of the map's.
  void (*max_pool_backward)(const Windows& windows, int64_t n, bool pooled_channels_last, const T* pooled_grad,
                            const int32_t* argmax, bool channels_last, T* input_grad, int64_t image, int64_t begin,
                            int64_t end);

  // Bins [begin, end) of all windows.
  void (*ps_roi_pool)(const Windows& windows, int64_t n, bool channels_last, const T* input, T* pooled, int64_t begin,
                      int64_t end);
  void (*ps_roi_pool_backward)(const Windows& windows, int64_t n, bool channels_last, const T* pooled_grad,
                               T* input_grad, int64_t begin, int64_t end);

  void (*focal_loss)(FocalLoss<T> loss, const T* x, const T* t, T* out, int64_t n);
  // out = grad * the first or second derivative by x. One grad for all where grad_step is 0.
  void (*focal_loss_derivative)(FocalLoss<T> loss, int64_t order, const T* grad, int64_t grad_step, const T* x,
                                const T* t, T* out, int64_t n);
  T (*sum_by_halves)(T* v, int64_t n);
};

// What needs only the order of numbers takes them as integers I of their size. `infinity` is the bits of the type's
// infinity, which tell float16 from bfloat16.
template <class I>
struct OrderKernels {
  // Pixels [begin, end) of one map, stored in the order [channels, pixels] or [pixels, channels], as integers of the
  // same order; they go into memory as [pixels, channels].
  void (*to_order)(const I* map, I* ordered, int64_t channels, int64_t pixels, bool channels_last, I infinity,
                   int64_t begin, int64_t end);
  // Items [begin, end) of windows x blocks of kPoolBlock channels. argmax may be null.
  void (*max_pool)(const Windows& windows, const I* ordered, bool pooled_channels_last, I* pooled, int32_t* argmax,
                   int64_t begin, int64_t end);
};

enum class HalfType { bfloat16, float16 };

// Kernels compute in float; numbers of 16 bits are converted on the way in and out.
struct HalfKernels {
  void (*widen)(HalfType type, const uint16_t* from, float* to, int64_t n);
  void (*narrow)(HalfType type, const float* from, uint16_t* to, int64_t n);
};

// Channels that max_pool takes at a time.
constexpr int64_t kPoolBlock = 128;

struct SimdLevel {
  const char* name;
  Kernels<float> for_float;
  Kernels<double> for_double;
  OrderKernels<int16_t> for_int16;
  OrderKernels<int32_t> for_int32;
  OrderKernels<int64_t> for_int64;
  HalfKernels for_halves;
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

inline const HalfKernels& half_kernels() {
  return simd_level().for_halves;
}

template <class I>
const OrderKernels<I>& order_kernels();
template <>
inline const OrderKernels<int16_t>& order_kernels<int16_t>() {
  return simd_level().for_int16;
}
template <>
inline const OrderKernels<int32_t>& order_kernels<int32_t>() {
  return simd_level().for_int32;
}
template <>
inline const OrderKernels<int64_t>& order_kernels<int64_t>() {
  return simd_level().for_int64;
}

}  // namespace roibench
