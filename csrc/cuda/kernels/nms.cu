// Greedy non-maximum suppression of boxes in the order of their scores, in bands of 4,096 candidates. Per band:
//
//   collect    one block lists the next candidates that nothing has suppressed so far
//   overlaps   each pair of the band's candidates is a bit, in tiles of 64 x 64
//   resolve    one block goes through the band, 64 candidates at a time: a warp finds which of them are kept, then all
//              threads strike what those overlap in the rest of the band
//   suppress   each candidate behind the band is compared with the boxes that the band kept, up to the first hit
//
// The bits of a band take 2 MiB, whatever N is. Only `overlaps` looks at all pairs of open candidates; `suppress` looks
// at pairs with kept boxes, which are few, and what it suppresses no later band holds. How many bands there are in
// fact, the host doesn't know: it launches as many as there may be, and those without candidates return at once.
// Nothing comes back to the host but the number of boxes kept, at the end.
//
// Cost: N^2 / 2 pairs at worst, some 20 operations each; a quarter of a microsecond per 64 candidates in `resolve`,
// which is what small inputs wait for.
#include "nms.h"

#include "../../descending_key.h"
#include "boxes.h"
#include "launch.h"
#include "reduce.h"

namespace roibench::cuda {
namespace {

using simt::kAllLanes;
using simt::kWarp;

constexpr int kTile = 64;
constexpr int kTiles = kNmsBand / kTile;
constexpr int kCollectThreads = 1024;
constexpr int kResolveThreads = 1024;
constexpr int kRowsOfThread = kNmsBand / kResolveThreads;
constexpr int kSuppressThreads = 256;
constexpr int kSuppressWords = 16;  // of `suppressed`, whose candidates a block of `suppress` takes
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

// The candidates from state->next on that are open, as far as the band has room.
__global__ void __launch_bounds__(kCollectThreads)
    collect_kernel(int64_t n, const uint32_t* __restrict__ suppressed, int64_t* __restrict__ band,
                   NmsState* __restrict__ state) {
  constexpr int kWarps = kCollectThreads / kWarp;
  ROIBENCH_SHARED(of_warp, int[kWarps]);
  ROIBENCH_SHARED(end_of_band, int64_t);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int64_t next = state->next;
  int count = 0;
  while (count < kNmsBand && next < n) {
    const int64_t first = (next / kWarp + threadIdx.x) * kWarp;  // of this thread's word
    uint32_t open = first < n ? ~suppressed[first / kWarp] : 0;
    if (threadIdx.x == 0) open &= kAllLanes << next % kWarp;
    if (first < n && n - first < kWarp) open &= kAllLanes >> (kWarp - (n - first));
    int end = sum_up_to_lane(__popc(open));
    if (lane == kWarp - 1) of_warp[warp] = end;
    __syncthreads();
    const int up_to_warp = sum_up_to_lane(of_warp[lane]);
    if (warp > 0) end += __shfl_sync(kAllLanes, up_to_warp, warp - 1);
    const int total = __shfl_sync(kAllLanes, up_to_warp, kWarps - 1);
    int at = count + end - __popc(open);
    for (; open != 0 && at < kNmsBand; open &= open - 1) {
      const int64_t candidate = first + __ffs(int(open)) - 1;
      band[at++] = candidate;
      if (at == kNmsBand) end_of_band = candidate + 1;
    }
    __syncthreads();
    count += total;
    next = count >= kNmsBand ? end_of_band : (next / kWarp + kCollectThreads) * kWarp;
  }
  __syncthreads();
  if (threadIdx.x == 0) *state = {next, min(count, kNmsBand), state->kept, state->kept};
}

// A block compares 64 candidates of the band, one per thread, with 64 others that come before them.
template <bool classed, class T>
__global__ void __launch_bounds__(kTile)
    overlaps_kernel(Candidates<T> all, const int64_t* __restrict__ band, const NmsState* __restrict__ state,
                    uint64_t* __restrict__ overlaps) {
  const int others_tile = blockIdx.x, tile = blockIdx.y, size = int(state->band);
  if (others_tile > tile || tile * kTile >= size) return;
  const int row = tile * kTile + threadIdx.x, other = others_tile * kTile + threadIdx.x;

  ROIBENCH_SHARED(others, Tile<kTile, classed, T>);
  if (other < size) others.put(threadIdx.x, Candidate<classed, T>(all, band[other]));
  __syncthreads();
  if (row >= size) return;

  const Candidate<classed, T> mine(all, band[row]);
  const int count = others_tile < tile ? kTile : threadIdx.x;
  uint64_t bits = 0;
  for (int k = 0; k < count; ++k) bits |= uint64_t(others.suppresses(k, mine, all.threshold)) << k;
  overlaps[others_tile * kNmsBand + row] = bits;
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
    resolve_kernel(const uint64_t* __restrict__ overlaps, const int64_t* __restrict__ band, int64_t* __restrict__ kept,
                   NmsState* __restrict__ state) {
  ROIBENCH_SHARED(open, uint32_t[kNmsBand / kWarp]);
  ROIBENCH_SHARED(kept_of_tile, uint64_t);
  const int size = int(state->band), tiles = (size + kTile - 1) / kTile;
  if (threadIdx.x < kNmsBand / kWarp) {
    const int left = size - int(threadIdx.x) * kWarp;
    open[threadIdx.x] = left >= kWarp ? kAllLanes : left > 0 ? kAllLanes >> (kWarp - left) : 0;
  }
  int64_t count = state->before;

  for (int tile = 0; tile < tiles; ++tile) {
    const uint64_t* const rows = overlaps + tile * kNmsBand;
    const int behind = (tile + 1) * kTile;
    uint64_t words[kRowsOfThread];  // read ahead: they wait for memory while the first warp decides
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) {
      const int row = j * kResolveThreads + threadIdx.x;
      words[j] = row >= behind && row < size ? rows[row] : 0;
    }
    __syncthreads();
    if (threadIdx.x < kWarp) {
      const int low = threadIdx.x, high = threadIdx.x + kWarp, first = tile * kTile;
      const uint64_t candidates = open[2 * tile] | uint64_t(open[2 * tile + 1]) << kWarp;
      const auto before = [&](int row) { return first + row < size ? rows[first + row] : 0; };
      const uint64_t mine = keep_of_tile(candidates, before(low), before(high));
      for (int row = low; row < kTile; row += kWarp) {
        if (mine >> row & 1) kept[count + __popcll(mine & ((uint64_t(1) << row) - 1))] = band[first + row];
      }
      count += __popcll(mine);
      if (threadIdx.x == 0) kept_of_tile = mine;
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) {  // a warp has a word of `open` for itself
      const uint32_t hits = __ballot_sync(kAllLanes, (words[j] & kept_of_tile) != 0);
      if (hits && threadIdx.x % kWarp == 0) open[(j * kResolveThreads + threadIdx.x) / kWarp] &= ~hits;
    }
  }
  if (threadIdx.x == 0) state->kept = count;
}

// A block takes the candidates of some words from `first_word` on. Blocks along y share the boxes that were kept.
template <bool classed, class T>
__global__ void __launch_bounds__(kSuppressThreads)
    suppress_kernel(Candidates<T> all, int64_t first_word, const int64_t* __restrict__ kept,
                    const NmsState* __restrict__ state, uint32_t* __restrict__ suppressed) {
  ROIBENCH_SHARED(open, int[kSuppressWords * kWarp]);  // places of the open ones behind the first of the block
  ROIBENCH_SHARED(count, int);
  ROIBENCH_SHARED(others, Tile<kTile, classed, T>);
  const int64_t word = first_word + int64_t(blockIdx.x) * kSuppressWords, start = word * kWarp;
  const int64_t next = state->next, before = state->before, end = state->kept;
  if (start + kSuppressWords * kWarp <= next || before + int64_t(blockIdx.y) * kTile >= end) return;

  if (threadIdx.x < kWarp) {
    const int64_t mine = start + threadIdx.x * kWarp;
    uint32_t left = 0;
    if (threadIdx.x < kSuppressWords && mine < all.n) left = ~atomicOr(suppressed + word + threadIdx.x, 0u);
    const int up_to_mine = sum_up_to_lane(__popc(left));
    int at = up_to_mine - __popc(left);
    for (; left != 0; left &= left - 1) open[at++] = threadIdx.x * kWarp + __ffs(int(left)) - 1;
    if (threadIdx.x == kWarp - 1) count = up_to_mine;
  }
  __syncthreads();
  for (int base = 0; base < count; base += kSuppressThreads) {
    const int place = base + int(threadIdx.x);
    const int64_t i = place < count ? start + open[place] : all.n;
    const bool was_open = i >= next && i < all.n;
    bool is_open = was_open;
    const Candidate<classed, T> mine(all, was_open ? i : 0);
    for (int64_t k = before + int64_t(blockIdx.y) * kTile; k < end; k += int64_t(gridDim.y) * kTile) {
      if (!__syncthreads_or(is_open)) break;
      const int size = end - k < kTile ? int(end - k) : kTile;
      if (int(threadIdx.x) < size) others.put(threadIdx.x, Candidate<classed, T>(all, kept[k + threadIdx.x]));
      __syncthreads();
      for (int other = 0; other < size && is_open; ++other) is_open = !others.suppresses(other, mine, all.threshold);
    }
    if (was_open && !is_open) atomicOr(suppressed + i / kWarp, 1u << i % kWarp);
  }
}

template <class T, class Key>
int score_keys(const T* scores, int64_t n, Key* keys, CUstream_st* stream) {
  return simt::launch(score_keys_kernel<T, Key>, simt::strided_grid(n, kKeyThreads), kKeyThreads, 0, stream, scores, n,
                      keys);
}

template <bool classed, class T>
int nms_in_bands(const Candidates<T>& all, const NmsMemory& m, CUstream_st* stream) {
  constexpr int64_t kPerBlock = kSuppressWords * kWarp;
  const int64_t enough = int64_t(simt::multiprocessors()) * (2048 / kSuppressThreads);
  int error = 0;
  for (int64_t end = 0; end < all.n && error == 0;) {
    const unsigned tiles = unsigned(((all.n - end < kNmsBand ? all.n - end : kNmsBand) + kTile - 1) / kTile);
    error = simt::launch(collect_kernel, 1, kCollectThreads, 0, stream, all.n, m.suppressed, m.band, m.state);
    if (error) break;
    error = simt::launch(overlaps_kernel<classed, T>, dim3(tiles, tiles), kTile, 0, stream, all, m.band, m.state,
                         m.overlaps);
    if (error) break;
    error = simt::launch(resolve_kernel, 1, kResolveThreads, 0, stream, m.overlaps, m.band, m.kept, m.state);
    end += kNmsBand;  // at least so far has the band come
    if (error || end >= all.n) break;
    const int64_t blocks = (all.n - end + kPerBlock - 1) / kPerBlock, shares = (enough + blocks - 1) / blocks;
    const dim3 grid(unsigned(blocks), unsigned(shares < kTiles ? shares : kTiles));
    error = simt::launch(suppress_kernel<classed, T>, grid, kSuppressThreads, 0, stream, all, end / kWarp, m.kept,
                         m.state, m.suppressed);
  }
  return error;
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
