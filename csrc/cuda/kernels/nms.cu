// Greedy non-maximum suppression of boxes in the order of their scores, in bands of 4,096 candidates. Per band:
//
//   overlaps   each pair of the band's candidates is a bit, in tiles of 64 x 64
//   resolve    one block goes through the band, 64 candidates at a time: a warp finds which of them are kept, then all
//              threads suppress what those overlap in the rest of the band
//   suppress   each later candidate is compared with the boxes that the band kept, up to the first hit
//
// The bits of a band take 2 MiB, whatever N is, and only the first comparison of later candidates looks at all pairs;
// the second looks at pairs with kept boxes, which are few. Nothing comes back to the host but the number of boxes
// kept, at the end.
//
// Cost: N^2 / 2 pairs at worst, some 20 operations each; about a microsecond per 64 candidates in `resolve`, which is
// what small inputs wait for.
#include "nms.h"

#include "../../descending_key.h"
#include "boxes.h"
#include "launch.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kTile = 64;
constexpr int kWords = kNmsBand / kTile;
constexpr int kResolveThreads = 512;
constexpr int kSuppressThreads = 256;
constexpr int kKeyThreads = 256;

}  // namespace

template <class T, class Key>
__global__ void __launch_bounds__(kKeyThreads)
    score_keys_kernel(const T* __restrict__ scores, int64_t n, Key* __restrict__ keys) {
  constexpr auto kSign = std::make_unsigned_t<Key>(1) << (8 * sizeof(Key) - 1);
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    keys[i] = Key(descending_key(scores[i]) ^ kSign);
  }
}

template <bool classed, class T>
struct Candidate {
  Measured<T> box;
  int64_t of_class;

  __device__ __forceinline__ Candidate(const Candidates<T>& all, int64_t i)
      : box(measured<IouKind::iou>(load_box(all.boxes, i))), of_class(classed ? all.classes[i] : 0) {}
};

// Candidates in shared memory.
template <int size, bool classed, class T>
struct Tile {
  Box<T> box[size];
  T area[size];
  int64_t of_class[classed ? size : 1];

  __device__ __forceinline__ void put(int place, const Candidate<classed, T>& c) {
    box[place] = c.box.box, area[place] = c.box.area;
    if constexpr (classed) of_class[place] = c.of_class;
  }

  __device__ __forceinline__ bool suppresses(int place, const Candidate<classed, T>& c, T threshold) const {
    if constexpr (classed) {
      if (of_class[place] != c.of_class) return false;
    }
    const Measured<T> mine = {box[place], area[place], T(0)};
    if (threshold >= T(0)) {
      const T inter_area = intersection_area(mine.box, c.box.box), union_area = mine.area + c.box.area - inter_area;
      if (!(inter_area > T(0) && inter_area >= min_share(threshold) * union_area)) return false;
    }
    return overlap<IouKind::iou>(mine, c.box) > threshold;
  }
};

__device__ __forceinline__ bool is_suppressed(const uint32_t* suppressed, int64_t i) {
  return suppressed[i / kWarp] >> (i % kWarp) & 1;
}

// A block compares 64 candidates, one per thread, with 64 others of the band that begins at `first`, of which it looks
// at those tiles that the order of scores allows.
template <bool classed, class T>
__global__ void __launch_bounds__(kTile)
    overlaps_kernel(Candidates<T> all, int64_t first, const uint32_t* __restrict__ suppressed,
                    uint64_t* __restrict__ overlaps) {
  const int column_tile = blockIdx.x, row_tile = blockIdx.y;
  if (column_tile < row_tile) return;
  const int64_t left = all.n - first;
  const int band = left < kNmsBand ? int(left) : int(kNmsBand);
  const int row = row_tile * kTile + threadIdx.x, column = column_tile * kTile + threadIdx.x;

  ROIBENCH_SHARED(others, Tile<kTile, classed, T>);
  if (column < band) others.put(threadIdx.x, Candidate<classed, T>(all, first + column));
  __syncthreads();
  if (row >= band || is_suppressed(suppressed, first + row)) return;  // rows that nobody will read

  const Candidate<classed, T> mine(all, first + row);
  const int count = band - column_tile * kTile < kTile ? band - column_tile * kTile : kTile;
  uint64_t bits = 0;
  for (int k = 0; k < count; ++k) bits |= uint64_t(others.suppresses(k, mine, all.threshold)) << k;
  overlaps[int64_t(row) * kWords + column_tile] = bits;
}

// Of 64 candidates, which are kept? before(r): those ahead of r that overlap it. A warp holds two of them per lane. In
// each round, those are kept that no other one left overlaps, and what they overlap is suppressed: as many rounds as
// the longest chain of boxes of which each suppresses the next, mostly three or four.
__device__ __forceinline__ uint64_t keep_of_tile(uint64_t open, uint64_t before_low, uint64_t before_high) {
  const int lane = threadIdx.x % kWarp;
  uint64_t kept = 0;
  const auto ballot = [&](bool low, bool high) {
    const uint64_t votes = __ballot_sync(kAllLanes, high);
    return votes << kWarp | __ballot_sync(kAllLanes, low);
  };
  while (open) {
    const bool low = open >> lane & 1, high = open >> (lane + kWarp) & 1;
    kept |= ballot(low && !(before_low & open), high && !(before_high & open));
    open &= ~kept;
    open &= ~ballot(before_low & kept, before_high & kept);
  }
  return kept;
}

__global__ void __launch_bounds__(kResolveThreads)
    resolve_kernel(const uint64_t* __restrict__ overlaps, const uint32_t* __restrict__ suppressed_before, int64_t first,
                   int64_t n, int64_t* __restrict__ kept, int64_t* __restrict__ counts) {
  constexpr int kGroups = kResolveThreads / kWords;
  const int band = n - first < kNmsBand ? int(n - first) : int(kNmsBand);
  const int words = (band + kTile - 1) / kTile;
  ROIBENCH_SHARED(suppressed, unsigned long long[kWords]);
  ROIBENCH_SHARED(kept_of_tile, uint64_t);
  for (int w = threadIdx.x; w < words; w += kResolveThreads) {
    const uint32_t* const from = suppressed_before + 2 * (first / kTile + w);
    suppressed[w] = from[0] | uint64_t(from[1]) << kWarp;
  }
  int64_t count = counts[0];
  __syncthreads();

  for (int tile = 0; tile < words; ++tile) {
    const int size = band - tile * kTile < kTile ? band - tile * kTile : kTile;
    const uint64_t* const rows = overlaps + int64_t(tile) * kTile * kWords;
    if (threadIdx.x < kWarp) {
      const int low = threadIdx.x, high = threadIdx.x + kWarp;
      const uint64_t open = ~suppressed[tile] & ~uint64_t(0) >> (kTile - size);
      const auto before = [&](int row) {  // rows that are suppressed were not written
        return open >> row & 1 ? rows[int64_t(row) * kWords + tile] & ((uint64_t(1) << row) - 1) : 0;
      };
      const uint64_t mine = keep_of_tile(open, before(low), before(high));
      for (int row = low; row < kTile; row += kWarp) {
        if (mine >> row & 1) {
          kept[count + __popcll(mine & ((uint64_t(1) << row) - 1))] = first + tile * kTile + row;
        }
      }
      count += __popcll(mine);
      if (threadIdx.x == 0) kept_of_tile = mine;
    }
    __syncthreads();
    const int word = tile + 1 + threadIdx.x % kWords;
    if (word < words) {
      uint64_t bits = 0;
      for (int row = threadIdx.x / kWords; row < size; row += kGroups) {
        if (kept_of_tile >> row & 1) bits |= rows[int64_t(row) * kWords + word];
      }
      if (bits) atomicOr(&suppressed[word], static_cast<unsigned long long>(bits));
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) counts[1] = count;
}

// counts: before and after the band whose boxes are compared with the candidates from `first` on, which is a multiple
// of 64: a warp has a word of `suppressed` for itself.
template <bool classed, class T>
__global__ void __launch_bounds__(kSuppressThreads)
    suppress_kernel(Candidates<T> all, int64_t first, const int64_t* __restrict__ kept,
                    const int64_t* __restrict__ counts, uint32_t* __restrict__ suppressed) {
  const int64_t i = first + int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const bool was_open = i < all.n && !is_suppressed(suppressed, i);
  bool open = was_open;
  const Candidate<classed, T> mine(all, i < all.n ? i : first);
  const int64_t end = counts[1];
  ROIBENCH_SHARED(others, Tile<kSuppressThreads, classed, T>);
  for (int64_t k = counts[0]; k < end && __syncthreads_or(open); k += kSuppressThreads) {
    const int count = end - k < kSuppressThreads ? int(end - k) : kSuppressThreads;
    if (int(threadIdx.x) < count) others.put(threadIdx.x, Candidate<classed, T>(all, kept[k + threadIdx.x]));
    __syncthreads();
    for (int other = 0; other < count && open; ++other) open = !others.suppresses(other, mine, all.threshold);
  }
  const uint32_t hits = __ballot_sync(kAllLanes, was_open && !open);
  __syncwarp();
  if (hits && threadIdx.x % kWarp == 0) suppressed[i / kWarp] |= hits;
}

template <class T, class Key>
int score_keys(const T* scores, int64_t n, Key* keys, CUstream_st* stream) {
  return simt::launch(score_keys_kernel<T, Key>, simt::strided_grid(n, kKeyThreads), kKeyThreads, 0, stream, scores, n,
                      keys);
}

template <bool classed, class T>
int nms_in_bands(const Candidates<T>& all, const NmsMemory& memory, CUstream_st* stream) {
  int64_t* counts = memory.counts;
  for (int64_t first = 0; first < all.n; first += kNmsBand, ++counts) {
    const int64_t end = first + kNmsBand;
    const unsigned tiles = unsigned(((end < all.n ? end : all.n) - first + kTile - 1) / kTile);
    if (const int error = simt::launch(overlaps_kernel<classed, T>, dim3(tiles, tiles), kTile, 0, stream, all, first,
                                       memory.suppressed, memory.overlaps)) {
      return error;
    }
    if (const int error = simt::launch(resolve_kernel, 1, kResolveThreads, 0, stream, memory.overlaps,
                                       memory.suppressed, first, all.n, memory.kept, counts)) {
      return error;
    }
    if (end >= all.n) return 0;
    const unsigned blocks = unsigned((all.n - end + kSuppressThreads - 1) / kSuppressThreads);
    if (const int error = simt::launch(suppress_kernel<classed, T>, blocks, kSuppressThreads, 0, stream, all, end,
                                       memory.kept, counts, memory.suppressed)) {
      return error;
    }
  }
  return 0;
}

template <class T>
int nms(const Candidates<T>& candidates, const NmsMemory& memory, CUstream_st* stream) {
  return candidates.classes != nullptr ? nms_in_bands<true>(candidates, memory, stream)
                                       : nms_in_bands<false>(candidates, memory, stream);
}

template int score_keys(const float*, int64_t, int32_t*, CUstream_st*);
template int score_keys(const double*, int64_t, int64_t*, CUstream_st*);
template int nms(const Candidates<float>&, const NmsMemory&, CUstream_st*);
template int nms(const Candidates<double>&, const NmsMemory&, CUstream_st*);

}  // namespace roibench::cuda
