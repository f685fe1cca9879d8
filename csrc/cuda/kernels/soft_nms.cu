// Soft-NMS (Bodla et al. 2017, arXiv 1704.04503): take the box with the best score, lower the scores of the others by
// how much they overlap it, go on with the best of what is left.
//
// The rounds depend on each other, so that one block does them all without a word to the host. Each thread owns every
// so-many-th box; lowering their scores, it finds the best of them for the next round, and the winner of each warp
// leaves its box in shared memory. A round has one barrier. A box that was taken, or whose score is below the
// threshold, has NaN for a score and is passed over.
//
// Cost: at most N rounds. Up to 4,096 boxes (2,048 in float64) are kept in registers, from left to right in the image:
// the boxes that a warp looks at together lie in a strip, and where none of them meets the box that was taken, which is
// so of most, a round is a dozen instructions per box. More boxes lie in the L2 cache.
#include "soft_nms.h"

#include "../../descending_key.h"
#include "boxes.h"
#include "launch.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarp;

template <class T>
constexpr int kBoxesOfThread = kSoftNmsInRegisters<T> / kThreads;

}  // namespace

// The best score that was seen, and the first box that has it.
template <class T>
struct Best {
  T score;
  int64_t index;  // -1: there is none

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

// The lane that has the best of a warp's boxes; the warp's width where none has one. NaN for a score: there is none.
template <class T>
__device__ __forceinline__ int lane_of_best(T score, int index) {
  const bool some = score == score;
  if constexpr (sizeof(T) == 4) {
    const unsigned key = descending_key(score);
    const unsigned best_key = __reduce_min_sync(kAllLanes, key);
    const unsigned place = some && key == best_key ? unsigned(index) : ~0u;
    const unsigned best_place = __reduce_min_sync(kAllLanes, place);
    const unsigned winners = __ballot_sync(kAllLanes, place != ~0u && place == best_place);
    return winners ? __ffs(int(winners)) - 1 : kWarp;
  } else {
    Best<T> best = {score, some ? index : -1};
    best.see_warp();
    const unsigned winners = __ballot_sync(kAllLanes, some && best.index == index);
    return winners ? __ffs(int(winners)) - 1 : kWarp;
  }
}

template <class T>
struct ScoredBox {
  T score;
  int index;
  Measured<T> box;
};

template <bool gaussian, class T>
__global__ void __launch_bounds__(kThreads)
    soft_nms_in_registers_kernel(SoftNms<T> how, const T* __restrict__ boxes, const T* __restrict__ scores,
                                 const int64_t* __restrict__ order, int n, int64_t* __restrict__ kept,
                                 T* __restrict__ kept_scores, int64_t* __restrict__ count) {
  constexpr int kOwn = kBoxesOfThread<T>;
  ROIBENCH_SHARED(best_of_warp, ScoredBox<T>[2][kWarps]);  // of even and of odd rounds: one barrier is enough
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  ScoredBox<T> own[kOwn];
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    const int place = j * blockDim.x + threadIdx.x, i = int(place < n ? order[place] : 0);
    own[j] = {place < n ? scores[i] : T(NAN), i, measured<IouKind::iou>(load_box(boxes, i))};
    if (!(own[j].score >= how.score_threshold)) own[j].score = T(NAN);
  }
  for (int64_t taken = 0;; ++taken) {
    ScoredBox<T>* const best_of = best_of_warp[taken % 2];
    ScoredBox<T> mine = own[0];
#pragma unroll
    for (int j = 1; j < kOwn; ++j) {
      const bool some = own[j].score == own[j].score, first = own[j].index < mine.index;
      const bool none = mine.score != mine.score;
      if (some && (none || own[j].score > mine.score || (own[j].score == mine.score && first))) mine = own[j];
    }
    const int winner = lane_of_best(mine.score, mine.index);
    if (lane == (winner < kWarp ? winner : 0)) best_of[warp] = mine;
    __syncthreads();
    const int best_warp =
        lane_of_best(lane < warps ? best_of[lane].score : T(NAN), lane < warps ? best_of[lane].index : 0);
    if (best_warp == kWarp || !(best_of[best_warp].score >= how.score_threshold)) {
      if (threadIdx.x == 0) *count = taken;
      return;
    }
    const ScoredBox<T> best = best_of[best_warp];
    if (threadIdx.x == 0) kept[taken] = best.index, kept_scores[taken] = best.score;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      if (own[j].index == best.index) own[j].score = T(NAN);
      // Without an intersection the IoU is 0, and the score stays.
      const T before = own[j].score;
      if (!__any_sync(kAllLanes, before == before && intersection_area(best.box.box, own[j].box.box) > T(0))) continue;
      const T after = decayed<gaussian>(before, overlap<IouKind::iou>(best.box, own[j].box), how);
      own[j].score = before != before ? before : after;
    }
  }
}

template <bool gaussian, class T>
__global__ void __launch_bounds__(kThreads)
    soft_nms_kernel(SoftNms<T> how, const T* __restrict__ boxes, T* __restrict__ scores, int64_t n,
                    int64_t* __restrict__ kept, T* __restrict__ kept_scores, int64_t* __restrict__ count) {
  ROIBENCH_SHARED(best_of_warp, Best<T>[2][kWarps]);
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
int soft_nms(const SoftNms<T>& how, const T* boxes, T* scores, const int64_t* order, int64_t n, int64_t* kept,
             T* kept_scores, int64_t* count, CUstream_st* stream) {
  constexpr int kOwn = kBoxesOfThread<T>;
  if (order != nullptr) {
    const int threads = (int(n) + kOwn * kWarp - 1) / (kOwn * kWarp) * kWarp;
    const auto kernel = how.gaussian ? soft_nms_in_registers_kernel<true, T> : soft_nms_in_registers_kernel<false, T>;
    return simt::launch(kernel, 1, threads, 0, stream, how, boxes, scores, order, int(n), kept, kept_scores, count);
  }
  const auto kernel = how.gaussian ? soft_nms_kernel<true, T> : soft_nms_kernel<false, T>;
  return simt::launch(kernel, 1, kThreads, 0, stream, how, boxes, scores, n, kept, kept_scores, count);
}

template int soft_nms(const SoftNms<float>&, const float*, float*, const int64_t*, int64_t, int64_t*, float*, int64_t*,
                      CUstream_st*);
template int soft_nms(const SoftNms<double>&, const double*, double*, const int64_t*, int64_t, int64_t*, double*,
                      int64_t*, CUstream_st*);

}  // namespace roibench::cuda
