// Bins of RoIs and samples in them, for the host and for the device.
#pragma once

#include "scalar.h"

namespace roibench {

// ---- RoI bins

// [begin, end) of samples, or of pixels along one axis.
struct Range {
  int64_t begin, end;
};

// More samples along one bin than any feature map has pixels, and few enough that a float counts them exactly.
constexpr int64_t kMaxSamples = 1 << 20;
// More samples, or bins, along an axis than anybody asks for, and few enough that a call for so many returns.
constexpr int64_t kMaxPerAxis = 1 << 15;

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
  return {start, bin, samples < T(kMaxSamples) ? (samples > T(0) ? int64_t(samples) : 0) : kMaxSamples};
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
