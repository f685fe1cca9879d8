// How much score a box keeps beside a better one that it overlaps (Bodla et al. 2017, arXiv 1704.04503).
#pragma once

#include "exponential.h"

namespace roibench {

template <class T>
struct SoftNms {
  bool gaussian;  // else linear
  T iou_threshold, sigma, score_threshold;
};

template <bool gaussian, class T>
ROIBENCH_HD T decay_of(T iou, const SoftNms<T>& how) {
  if constexpr (gaussian) return exp_of_minus(iou * iou / how.sigma);
  return iou > how.iou_threshold ? T(1) - iou : T(1);
}

// A factor would raise a negative score, and the box could then beat one that was taken before: such scores stay.
// Infinity times 0 is 0 here.
template <bool gaussian, class T>
ROIBENCH_HD T decayed(T score, T iou, const SoftNms<T>& how) {
  const T factor = decay_of<gaussian>(iou, how);
  return score > T(0) ? (factor > T(0) ? score * factor : T(0)) : score;
}

}  // namespace roibench
