// The geometry under every operator, for the host and for the device: boxes and their overlap, RoI bins, bilinear taps.
// Written once: a CPU kernel, a CUDA kernel and their tests can only disagree about order of summation.
//
// Boxes are (x1, y1, x2, y2). One with a negative side has area 0; one with a NaN or infinite corner, or a side too
// long for the type, has no area. Neither overlaps anything, and no overlap is ever NaN.
//
// Every function is forced inline. Several SIMD levels compile this header (cpu/simd_*.cpp); an out-of-line copy would
// be one symbol for all of them, and the linker could give a machine without AVX-512 the copy that was built with it.
#pragma once

#include <math.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define ROIBENCH_HD __host__ __device__ __forceinline__
#else
#define ROIBENCH_HD __attribute__((always_inline)) inline
#endif

namespace roibench {

// ---- numbers
// ---------------------------------------------------------------------------------------------------------

// With a NaN argument both return the second one, as the machine instructions do.
template <class T>
ROIBENCH_HD T min_of(T a, T b) {
  return a < b ? a : b;
}
template <class T>
ROIBENCH_HD T max_of(T a, T b) {
  return a > b ? a : b;
}

// max(x, 0). Of NaN, the first makes 0 and the second NaN.
template <class T>
ROIBENCH_HD T positive(T x) {
  return x > T(0) ? x : T(0);
}
template <class T>
ROIBENCH_HD T not_negative(T x) {
  return x < T(0) ? T(0) : x;
}

// Whether n / d is finite, and d finite and positive.
template <class T>
ROIBENCH_HD bool is_ratio(T n, T d) {
  const T infinity = T(INFINITY);
  const T quotient = n / d;
  return d > T(0) && d < infinity && quotient > -infinity && quotient < infinity;
}
// n / d, or else 0: overlaps of nothing with nothing are nothing.
template <class T>
ROIBENCH_HD T ratio(T n, T d) {
  return is_ratio(n, d) ? n / d : T(0);
}

// The builtins, not std::, because std:: functions are symbols that SIMD levels would share.
ROIBENCH_HD float ceil_of(float x) {
  return __builtin_ceilf(x);
}
ROIBENCH_HD double ceil_of(double x) {
  return __builtin_ceil(x);
}
ROIBENCH_HD float floor_of(float x) {
  return __builtin_floorf(x);
}
ROIBENCH_HD double floor_of(double x) {
  return __builtin_floor(x);
}
// Halves go away from zero.
ROIBENCH_HD float round_of(float x) {
  return __builtin_roundf(x);
}
ROIBENCH_HD double round_of(double x) {
  return __builtin_round(x);
}
#if defined(__CUDA_ARCH__)
ROIBENCH_HD float arctan2(float y, float x) {
  return ::atan2f(y, x);
}
ROIBENCH_HD double arctan2(double y, double x) {
  return ::atan2(y, x);
}
#else
ROIBENCH_HD float arctan2(float y, float x) {
  return __builtin_atan2f(y, x);
}
ROIBENCH_HD double arctan2(double y, double x) {
  return __builtin_atan2(y, x);
}
#endif

// ---- boxes
// -----------------------------------------------------------------------------------------------------------

template <class T>
struct Box {
  T x1, y1, x2, y2;
};

template <class T>
ROIBENCH_HD T width(const Box<T>& b) {
  return not_negative(b.x2 - b.x1);
}
template <class T>
ROIBENCH_HD T height(const Box<T>& b) {
  return not_negative(b.y2 - b.y1);
}
template <class T>
ROIBENCH_HD T area(const Box<T>& b) {
  return width(b) * height(b);
}
// The angle of the diagonal, arctan(width / height): what CIoU compares. 0 for a point.
template <class T>
ROIBENCH_HD T aspect(const Box<T>& b) {
  return arctan2(width(b), height(b));
}

// The common part of two boxes; its sides are negative where there is none.
template <class T>
ROIBENCH_HD Box<T> meet(const Box<T>& a, const Box<T>& b) {
  return {max_of(a.x1, b.x1), max_of(a.y1, b.y1), min_of(a.x2, b.x2), min_of(a.y2, b.y2)};
}
// Its area. min_of and max_of may lose a NaN: then the area of the box that it came from still has it.
template <class T>
ROIBENCH_HD T shared_area(const Box<T>& a, const Box<T>& b) {
  const Box<T> common = meet(a, b);
  return positive(common.x2 - common.x1) * positive(common.y2 - common.y1);
}
// The smallest box that holds both.
template <class T>
ROIBENCH_HD Box<T> hull(const Box<T>& a, const Box<T>& b) {
  return {min_of(a.x1, b.x1), min_of(a.y1, b.y1), max_of(a.x2, b.x2), max_of(a.y2, b.y2)};
}

// ---- the IoU family
// --------------------------------------------------------------------------------------------------
//
//   IoU   I / U                      intersection over union
//   GIoU  IoU - (C - U) / C          C: area of the hull                                  (Rezatofighi et al. 2019)
//   DIoU  IoU - r^2 / d^2            r: distance of the centres, d: diagonal of the hull   (Zheng et al. 2020)
//   CIoU  DIoU - v^2 / (1 - IoU + v) v = 4 / pi^2 * (difference of the aspect angles)^2    (Zheng et al. 2020)

enum class IouKind : int { iou, giou, diou, ciou };

// Calls f.operator()<kind>(), where the kind is known at run time. Host only.
template <class F>
__attribute__((always_inline)) inline auto with_kind(IouKind kind, F&& f) {
  switch (kind) {
    case IouKind::giou:
      return f.template operator()<IouKind::giou>();
    case IouKind::diou:
      return f.template operator()<IouKind::diou>();
    case IouKind::ciou:
      return f.template operator()<IouKind::ciou>();
    default:
      return f.template operator()<IouKind::iou>();
  }
}

// A box with what depends on it alone, so that N x M pairs share N + M areas and arctangents. Both are NaN where a
// corner is not finite, and then every kind of overlap is 0, whatever the other box is. `aspect` is read for CIoU only.
template <class T>
struct Measured {
  Box<T> box;
  T area, aspect;
};

template <IouKind kind, class T>
ROIBENCH_HD Measured<T> measured(const Box<T>& b) {
  const T spoiled = T(0) * b.x1 + T(0) * b.y1 + T(0) * b.x2 + T(0) * b.y2;  // 0, or NaN
  if constexpr (kind != IouKind::ciou) return {b, area(b) + spoiled, T(0)};
  return {b, area(b) + spoiled, aspect(b) + spoiled + T(0) * width(b) + T(0) * height(b)};
}

template <class T>
ROIBENCH_HD T squared(T x) {
  return x * x;
}

template <class T>
ROIBENCH_HD T centre_distance2(const Box<T>& a, const Box<T>& b) {
  return (squared(a.x1 + a.x2 - b.x1 - b.x2) + squared(a.y1 + a.y2 - b.y1 - b.y2)) / T(4);
}
template <class T>
ROIBENCH_HD T diagonal2(const Box<T>& b) {
  return squared(width(b)) + squared(height(b));
}

template <class T>
constexpr T kAspectScale = T(0.40528473456935108577551785283891);  // 4 / pi^2

template <IouKind kind, class T>
ROIBENCH_HD T overlap(const Measured<T>& a, const Measured<T>& b) {
  const T shared = shared_area(a.box, b.box);
  const T joined = a.area + b.area - shared;
  const T iou = ratio(shared, joined);
  if constexpr (kind == IouKind::iou) return iou;

  const Box<T> around = hull(a.box, b.box);
  if constexpr (kind == IouKind::giou) return iou - ratio(area(around) - joined, area(around));

  const T diou = iou - ratio(centre_distance2(a.box, b.box), diagonal2(around));
  if constexpr (kind == IouKind::diou) return diou;

  const T v = kAspectScale<T> * squared(a.aspect - b.aspect);
  return diou - ratio(v * v, T(1) - iou + v);
}

// If the rounded quotient of the shared and the joined area exceeds a threshold, which is not negative, then the shared
// area is at least this part of the joined one: one multiplication rules out most pairs.
template <class T>
ROIBENCH_HD T least_share(T threshold) {
  return threshold * (sizeof(T) == 4 ? T(1 - 0x1p-22) : T(1 - 0x1p-51));
}

// ---- derivatives: each adds to `grad` what `d`, the derivative of the loss by the value, means for the box
// ------------

template <class T>
ROIBENCH_HD void width_backward(const Box<T>& b, T d, Box<T>& grad) {
  if (b.x2 > b.x1) {
    grad.x1 -= d;
    grad.x2 += d;
  }
}
template <class T>
ROIBENCH_HD void height_backward(const Box<T>& b, T d, Box<T>& grad) {
  if (b.y2 > b.y1) {
    grad.y1 -= d;
    grad.y2 += d;
  }
}
template <class T>
ROIBENCH_HD void area_backward(const Box<T>& b, T d, Box<T>& grad) {
  width_backward(b, d * height(b), grad);
  height_backward(b, d * width(b), grad);
}
template <class T>
ROIBENCH_HD void aspect_backward(const Box<T>& b, T d, Box<T>& grad) {
  const T scaled = ratio(d, diagonal2(b));
  width_backward(b, scaled * height(b), grad);
  height_backward(b, -scaled * width(b), grad);
}

// The share of the first argument in max(a, b); equal arguments share evenly, as torch.maximum has it.
template <class T>
ROIBENCH_HD T share_of_max(T a, T b) {
  return a > b ? T(1) : a == b ? T(0.5) : T(0);
}

// d is the derivative by the corners of meet(a, b).
template <class T>
ROIBENCH_HD void meet_backward(const Box<T>& a, const Box<T>& b, const Box<T>& d, Box<T>& grad_a, Box<T>& grad_b) {
  const Box<T> s = {share_of_max(a.x1, b.x1), share_of_max(a.y1, b.y1), share_of_max(b.x2, a.x2),
                    share_of_max(b.y2, a.y2)};
  grad_a.x1 += d.x1 * s.x1, grad_b.x1 += d.x1 * (T(1) - s.x1);
  grad_a.y1 += d.y1 * s.y1, grad_b.y1 += d.y1 * (T(1) - s.y1);
  grad_a.x2 += d.x2 * s.x2, grad_b.x2 += d.x2 * (T(1) - s.x2);
  grad_a.y2 += d.y2 * s.y2, grad_b.y2 += d.y2 * (T(1) - s.y2);
}
// The hull takes min where the meet takes max: the boxes change places.
template <class T>
ROIBENCH_HD void hull_backward(const Box<T>& a, const Box<T>& b, const Box<T>& d, Box<T>& grad_a, Box<T>& grad_b) {
  meet_backward(b, a, d, grad_a, grad_b);
}

// Adds those numbers of `grad` that are finite; NaN where d, of which they are multiples, is not.
template <class T>
ROIBENCH_HD void add_finite(const Box<T>& grad, T d, Box<T>& sum) {
  const T otherwise = T(0) * d;
  sum.x1 += grad.x1 - grad.x1 == T(0) ? grad.x1 : otherwise;
  sum.y1 += grad.y1 - grad.y1 == T(0) ? grad.y1 : otherwise;
  sum.x2 += grad.x2 - grad.x2 == T(0) ? grad.x2 : otherwise;
  sum.y2 += grad.y2 - grad.y2 == T(0) ? grad.y2 : otherwise;
}

// Derivatives of overlap<kind>(a, b), times d, added to grad_a and grad_b. The factor v / (1 - IoU + v) of CIoU is
// differentiated like everything else. A ratio that overlap takes for 0 is a constant: what it is made of may be NaN or
// infinite, and 0 times that is NaN, so that it must not be touched. What overflows, between boxes that are extremely
// thin and long, counts as 0 too.
template <IouKind kind, class T>
ROIBENCH_HD void overlap_backward(const Measured<T>& a, const Measured<T>& b, T d, Box<T>& sum_a, Box<T>& sum_b) {
  Box<T> grad_a = {0, 0, 0, 0}, grad_b = {0, 0, 0, 0};
  const Box<T> common = meet(a.box, b.box);
  const T shared = shared_area(a.box, b.box);
  const T joined = a.area + b.area - shared;
  T d_iou = d;
  T d_joined = 0;

  if constexpr (kind == IouKind::giou) {  // IoU - 1 + U / C
    const Box<T> around = hull(a.box, b.box);
    const T c = area(around);
    if (is_ratio(c - joined, c)) {
      Box<T> d_around = {0, 0, 0, 0};
      d_joined += ratio(d, c);
      area_backward(around, -ratio(d * ratio(joined, c), c), d_around);
      hull_backward(a.box, b.box, d_around, grad_a, grad_b);
    }
  }
  if constexpr (kind == IouKind::diou || kind == IouKind::ciou) {  // IoU - r^2 / d^2
    const Box<T> around = hull(a.box, b.box);
    const T distance = centre_distance2(a.box, b.box), diagonal = diagonal2(around);
    if (is_ratio(distance, diagonal)) {
      Box<T> d_around = {0, 0, 0, 0};
      const T by_distance = -ratio(d, diagonal);
      const T by_diagonal = -by_distance * ratio(distance, diagonal);
      const T dx = by_distance * (a.box.x1 + a.box.x2 - b.box.x1 - b.box.x2) / T(2);
      const T dy = by_distance * (a.box.y1 + a.box.y2 - b.box.y1 - b.box.y2) / T(2);
      grad_a.x1 += dx, grad_a.x2 += dx, grad_b.x1 -= dx, grad_b.x2 -= dx;
      grad_a.y1 += dy, grad_a.y2 += dy, grad_b.y1 -= dy, grad_b.y2 -= dy;
      width_backward(around, T(2) * by_diagonal * width(around), d_around);
      height_backward(around, T(2) * by_diagonal * height(around), d_around);
      hull_backward(a.box, b.box, d_around, grad_a, grad_b);
    }
  }
  if constexpr (kind == IouKind::ciou) {  // - v^2 / e, e = 1 - IoU + v
    const T difference = a.aspect - b.aspect;
    const T v = kAspectScale<T> * squared(difference);
    const T e = T(1) - ratio(shared, joined) + v;
    if (is_ratio(v * v, e)) {
      const T share = ratio(v, e);
      const T by_v = -d * share * (T(2) - share);
      const T by_angle = by_v * T(2) * kAspectScale<T> * difference;
      d_iou -= d * squared(share);
      aspect_backward(a.box, by_angle, grad_a);
      aspect_backward(b.box, -by_angle, grad_b);
    }
  }

  const bool overlapping = is_ratio(shared, joined);
  if (overlapping || d_joined != T(0)) {
    const T d_shared = overlapping ? ratio(d_iou, joined) : T(0);
    d_joined -= d_shared * ratio(shared, joined);
    Box<T> d_common = {0, 0, 0, 0};
    area_backward(common, d_shared - d_joined, d_common);
    meet_backward(a.box, b.box, d_common, grad_a, grad_b);
    area_backward(a.box, d_joined, grad_a);
    area_backward(b.box, d_joined, grad_b);
  }
  add_finite(grad_a, d, sum_a);
  add_finite(grad_b, d, sum_b);
}

// ---- RoI bins
// --------------------------------------------------------------------------------------------------------

// [begin, end) of samples, or of pixels along one axis.
struct Range {
  int64_t begin, end;
};

// More samples along one bin than any feature map has pixels, and few enough that a float counts them exactly.
constexpr int64_t kMostSamples = 1 << 20;
// More samples, or bins, along an axis than anybody asks for, and few enough that a call for so many returns.
constexpr int64_t kMostPerAxis = 1 << 15;

// One axis of a RoI that is cut into equal bins, each sampled at equal distances. The expressions, and their order, are
// those of torchvision's roi_align: the number of samples jumps with the last bit of the RoI's length.
template <class T>
struct BinAxis {
  T start, bin;     // where the first bin begins, and the length of one
  int64_t samples;  // per bin; 0 for an empty adaptive RoI

  ROIBENCH_HD T bin_start(int64_t index) const { return start + T(index) * bin; }
  ROIBENCH_HD T sample(int64_t index, int64_t s) const { return bin_start(index) + (T(s) + T(0.5)) * bin / T(samples); }
};

// low, high: the RoI's ends in image coordinates. ratio: samples per bin, or <= 0 for one per pixel.
template <class T>
ROIBENCH_HD BinAxis<T> bin_axis(T low, T high, T scale, bool aligned, int64_t bins, int64_t ratio) {
  const T offset = aligned ? T(0.5) : T(0);
  const T start = low * scale - offset;
  T length = high * scale - offset - start;
  if (!aligned) length = max_of(length, T(1));
  const T bin = length / T(bins);
  if (ratio > 0) return {start, bin, ratio};
  const T samples = ceil_of(bin);
  return {start, bin, samples < T(kMostSamples) ? (samples > T(0) ? int64_t(samples) : 0) : kMostSamples};
}

// The samples of a bin that may lie on a map of `size` pixels. A RoI much longer than the map has millions of samples
// beside it; they count as zero, so they need not be visited. Errs outwards, by up to two samples.
template <class T>
ROIBENCH_HD Range samples_on_map(const BinAxis<T>& axis, int64_t bin, int64_t size) {
  if (axis.samples <= size || axis.bin == T(0)) return {0, axis.samples};
  const double first = double(axis.bin_start(bin));
  const double step = double(axis.bin) / double(axis.samples);
  const double from = (-1.0 - first) / step, to = (double(size) - first) / step;
  const double begin = min_of(from, to) - 2.0, end = max_of(from, to) + 2.0;
  const double last = double(axis.samples);
  if (!(begin < last) || !(end > 0.0)) return {0, 0};  // also where a bound is NaN
  return {begin > 0.0 ? int64_t(begin) : 0, end < last ? int64_t(end) : axis.samples};
}

// Linear interpolation between two neighbouring pixels. Points up to one pixel outside take the border's value; points
// beyond, and NaN, take none.
template <class T>
struct Bilinear {
  int64_t low, high;
  T low_weight, high_weight;
  bool inside;
};

template <class T>
ROIBENCH_HD Bilinear<T> bilinear(T at, int64_t size) {
  if (!(at >= T(-1) && at <= T(size))) return {0, 0, T(0), T(0), false};
  at = positive(at);
  const int64_t low = int64_t(at);
  if (low >= size - 1) return {size - 1, size - 1, T(1), T(0), true};
  const T high_weight = at - T(low);
  return {low, low + 1, T(1) - high_weight, high_weight, true};
}

// ---- bins of whole pixels
// --------------------------------------------------------------------------------------------

// How many bins a window is cut into.
struct Grid {
  int64_t rows, columns;
};

// Farther than any map reaches, and near enough that int64 holds the sum of several such numbers.
constexpr int64_t kFar = int64_t(1) << 60;

// A number that is whole already, as an integer; beyond kFar, and for NaN, the nearest far one.
template <class T>
ROIBENCH_HD int64_t integer(T whole) {
  return whole > T(-kFar) ? (whole < T(kFar) ? int64_t(whole) : kFar) : -kFar;
}

ROIBENCH_HD int64_t clamped(int64_t x, int64_t size) {
  return x < 0 ? 0 : x < size ? x : size;
}

// One axis of a RoI whose ends are rounded to pixels, cut into bins of equal length that grow outwards to whole pixels,
// so that neighbours share the pixel which their border cuts. The expressions are those of torchvision's roi_pool and
// ps_roi_pool: bins jump with the last bit of the RoI's length.
template <class T>
struct PixelBins {
  int64_t start;
  T bin;  // the length of one; NaN if the RoI is NaN or infinite

  // The pixels of a bin on a map of `size`. None where the bin lies beside the map.
  ROIBENCH_HD Range pixels(int64_t index, int64_t size) const {
    if (!(bin > T(0))) return {0, 0};
    return {clamped(start + integer(floor_of(T(index) * bin)), size),
            clamped(start + integer(ceil_of(T(index + 1) * bin)), size)};
  }
};

// low, high: the RoI's ends in image coordinates. last: pixels that the rounded high end has beyond it, 1 where the
// pixel at the end belongs to the RoI.
template <class T>
ROIBENCH_HD PixelBins<T> pixel_bins(T low, T high, T scale, int64_t last, int64_t bins) {
  const T first = round_of(low * scale), end = round_of(high * scale);
  const T distance = end - first;
  if (!(distance - distance == T(0))) return {0, T(NAN)};  // also where the ends are farther apart than T can tell
  const int64_t start = integer(first), length = integer(end) - start + last;
  return {start, T(length < 1 ? 1 : length) / T(bins)};
}

// Bin `index` of a map that is cut into `bins` parts, as adaptive pooling cuts it: exact, and no bin is empty.
ROIBENCH_HD Range adaptive_bin(int64_t index, int64_t size, int64_t bins) {
  return {index * size / bins, ((index + 1) * size + bins - 1) / bins};
}

}  // namespace roibench
