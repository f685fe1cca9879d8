// Soft-NMS (Bodla et al. 2017, arXiv 1704.04503): take the box with the best score, lower the scores of the others by
// how much they overlap it, go on with the best of what is left.
//
// The rounds depend on each other, so that one block does them all without a word to the host. Each thread owns every
// 1,024th box; lowering their scores, it finds the best of them for the next round. A round has one barrier. A box that
// was taken, or whose score is below the threshold, has no number for a score and is passed over.
//
// Cost: at most N rounds of N / 1,024 boxes per thread and half a microsecond for the barrier; scores and boxes stay in
// the L2 cache.
#include "soft_nms.h"

#include "boxes.h"
#include "launch.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarp;

}  // namespace

template <class T>
struct Best {
  T score;
  int64_t index;  // -1: there is none

  // Of equal scores, the first one.
  __device__ __forceinline__ void see(T other_score, int64_t other_index) {
    if (other_index < 0 || other_score != other_score) return;
    if (index >= 0 && !(other_score > score || (other_score == score && other_index < index))) return;
    score = other_score, index = other_index;
  }

  __device__ __forceinline__ void see_warp() {
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      const T other_score = __shfl_xor_sync(kAllLanes, score, distance);
      const int64_t other_index = __shfl_xor_sync(kAllLanes, index, distance);
      see(other_score, other_index);
    }
  }
};

template <bool gaussian, class T>
__global__ void __launch_bounds__(kThreads)
    soft_nms_kernel(SoftNms<T> how, const T* __restrict__ boxes, T* __restrict__ scores, int64_t n,
                    int64_t* __restrict__ kept, T* __restrict__ kept_scores, int64_t* __restrict__ count) {
  ROIBENCH_SHARED(best_of_warp, Best<T>[2][kWarps]);  // of even and of odd rounds: one barrier is enough
  Best<T> mine = {T(0), -1};
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    if (scores[i] >= how.score_threshold) {
      mine.see(scores[i], i);
    } else {
      scores[i] = T(NAN);
    }
  }
  for (int64_t taken = 0;; ++taken) {
    Best<T>* const best_of = best_of_warp[taken % 2];
    mine.see_warp();
    if (threadIdx.x % kWarp == 0) best_of[threadIdx.x / kWarp] = mine;
    __syncthreads();
    Best<T> best = best_of[threadIdx.x % kWarp];
    best.see_warp();
    if (best.index < 0 || !(best.score >= how.score_threshold)) {
      if (threadIdx.x == 0) *count = taken;
      return;
    }
    if (threadIdx.x == 0) kept[taken] = best.index, kept_scores[taken] = best.score;
    if (threadIdx.x == best.index % kThreads) scores[best.index] = T(NAN);

    const Measured<T> box = measured<IouKind::iou>(load_box(boxes, best.index));
    mine.index = -1;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const T before = scores[i];
      if (before != before) continue;
      const T iou = overlap<IouKind::iou>(box, measured<IouKind::iou>(load_box(boxes, i)));
      const T score = decayed<gaussian>(before, iou, how);
      scores[i] = score;
      mine.see(score, i);
    }
  }
}

template <class T>
int soft_nms(const SoftNms<T>& how, const T* boxes, T* scores, int64_t n, int64_t* kept, T* kept_scores, int64_t* count,
             CUstream_st* stream) {
  const auto kernel = how.gaussian ? soft_nms_kernel<true, T> : soft_nms_kernel<false, T>;
  return simt::launch(kernel, 1, kThreads, 0, stream, how, boxes, scores, n, kept, kept_scores, count);
}

template int soft_nms(const SoftNms<float>&, const float*, float*, int64_t, int64_t*, float*, int64_t*, CUstream_st*);
template int soft_nms(const SoftNms<double>&, const double*, double*, int64_t, int64_t*, double*, int64_t*,
                      CUstream_st*);

}  // namespace roibench::cuda
