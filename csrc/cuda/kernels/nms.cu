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
//
// Classes don't suppress each other: unless one of them is large, each has a block of its own, which compares 64
// candidates at a time with what it has kept, in shared memory, and with each other.
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
constexpr int kClassThreads = 512;

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

// Whether the IoU is above the threshold. Mostly it is far below, and needs no division.
template <class T>
__device__ __forceinline__ bool overlaps(const Measured<T>& a, const Measured<T>& b, T threshold) {
  if (threshold >= T(0)) {
    const T inter_area = intersection_area(a.box, b.box), union_area = a.area + b.area - inter_area;
    if (!(inter_area > T(0) && inter_area >= min_share(threshold) * union_area)) return false;
  }
  return overlap<IouKind::iou>(a, b) > threshold;
}

// Candidates in shared memory.
template <int size, bool classed, class T>
struct alignas(16) Tile {
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
    return overlaps({box[place], area[place], T(0)}, c.box, threshold);
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
  ROIBENCH_SHARED(kept_of_tile, uint64_t[kTiles]);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int size = int(state->band), tiles = (size + kTile - 1) / kTile;
  if (threadIdx.x < kNmsBand / kWarp) {
    const int left = size - int(threadIdx.x) * kWarp;
    open[threadIdx.x] = left >= kWarp ? kAllLanes : left > 0 ? kAllLanes >> (kWarp - left) : 0;
  }
  if (threadIdx.x < kTiles) kept_of_tile[threadIdx.x] = 0;

  // Words of a tile: those of this thread's rows, which lie behind the tile, and those of the tile's own rows, which
  // the first warp decides about. They are read a tile ahead, so that nobody waits for memory.
  const auto word = [&](int tile, int row, bool needed) { return needed ? overlaps[tile * kNmsBand + row] : 0; };
  uint64_t behind[kRowsOfThread], own_low, own_high;
  const auto read = [&](int tile) {
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) {
      const int row = j * kResolveThreads + threadIdx.x;
      behind[j] = word(tile, row, row >= (tile + 1) * kTile && row < size);
    }
    const int low = tile * kTile + lane, high = low + kWarp;
    own_low = word(tile, low, warp == 0 && low < size), own_high = word(tile, high, warp == 0 && high < size);
  };
  read(0);
  for (int tile = 0; tile < tiles; ++tile) {
    uint64_t overlapped[kRowsOfThread];
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) overlapped[j] = behind[j];
    const uint64_t low = own_low, high = own_high;
    if (tile + 1 < tiles) read(tile + 1);
    __syncthreads();
    if (warp == 0) {
      const uint64_t candidates = open[2 * tile] | uint64_t(open[2 * tile + 1]) << kWarp;
      const uint64_t mine = keep_of_tile(candidates, low, high);
      if (lane == 0) kept_of_tile[tile] = mine;
    }
    __syncthreads();
    const uint64_t winners = kept_of_tile[tile];
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) {  // a warp has a word of `open` for itself
      const uint32_t hits = __ballot_sync(kAllLanes, (overlapped[j] & winners) != 0);
      if (hits && lane == 0) open[(j * kResolveThreads + threadIdx.x) / kWarp] &= ~hits;
    }
  }
  __syncthreads();
  int64_t count = state->before;
  for (int tile = 0; tile < tiles; ++tile) {
    const uint64_t mine = kept_of_tile[tile];
    if (tile % (kResolveThreads / kTile) == int(threadIdx.x) / kTile) {  // the tiles are dealt out
      const int row = threadIdx.x % kTile;
      if (mine >> row & 1) kept[count + __popcll(mine & ((uint64_t(1) << row) - 1))] = band[tile * kTile + row];
    }
    count += __popcll(mine);
  }
  __syncthreads();
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

__global__ void __launch_bounds__(kKeyThreads)
    class_spans_kernel(const int64_t* __restrict__ classes, int64_t n, ClassSpans spans) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    const int64_t mine = classes[i];
    if (i > 0 && classes[i - 1] == mine) continue;
    int64_t begin = i + 1, end = n;  // the next class begins in [begin, end]
    while (begin < end) {
      const int64_t middle = (begin + end) / 2;
      if (classes[middle] == mine) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    spans.span[atomicAdd(spans.count, 1)] = {i, end};
    atomicMax(spans.count + 1, int(end - i < INT32_MAX ? end - i : INT32_MAX));
  }
}

// Lanes are candidates of a tile; the warps share what these are compared with.
template <class T>
__global__ void __launch_bounds__(kClassThreads)
    nms_of_classes_kernel(Candidates<T> all, const ClassSpan* __restrict__ spans, const int64_t* __restrict__ place,
                          bool* __restrict__ kept) {
  constexpr int kHalves = kTile / kWarp, kShares = kClassThreads / kTile, kColumns = kTile / kShares;
  static_assert(kColumns == 8);                // a byte of a row's word for each share
  ROIBENCH_DYNAMIC_SHARED(best, Measured<T>);  // what was kept, so far
  ROIBENCH_SHARED(tile, Measured<T>[kTile]);
  ROIBENCH_SHARED(before, uint8_t[kTile][kShares]);
  ROIBENCH_SHARED(suppressed, uint32_t[kHalves]);
  ROIBENCH_SHARED(kept_of_tile, uint64_t);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, half = warp % kHalves, share = warp / kHalves;
  const int row = half * kWarp + lane;
  const ClassSpan span = spans[blockIdx.x];
  int count = 0;
  for (int64_t first = span.begin; first < span.end; first += kTile) {
    const int size = span.end - first < kTile ? int(span.end - first) : kTile;
    const Measured<T> mine = measured<IouKind::iou>(load_box(all.boxes, first + (row < size ? row : 0)));
    if (share == 0) tile[row] = mine;
    if (threadIdx.x < kHalves) suppressed[threadIdx.x] = 0;
    __syncthreads();
    bool hit = false;
    for (int k = share; k < count && !hit; k += kShares) hit = overlaps(best[k], mine, all.threshold);
    const uint32_t hits = __ballot_sync(kAllLanes, hit);
    if (hits && lane == 0) atomicOr(&suppressed[half], hits);
    uint8_t bits = 0;
    for (int c = 0; c < kColumns; ++c) {
      const int column = share * kColumns + c;
      if (column < row && row < size) bits |= uint8_t(overlaps(tile[column], mine, all.threshold)) << c;
    }
    before[row][share] = bits;
    __syncthreads();
    if (warp == 0) {
      const auto word = [&](int r) {
        uint64_t bytes = 0;
        for (int b = 0; b < kShares; ++b) bytes |= uint64_t(before[r][b]) << (kColumns * b);
        return bytes;
      };
      const uint64_t open = ~(suppressed[0] | uint64_t(suppressed[1]) << kWarp) & ~uint64_t(0) >> (kTile - size);
      const uint64_t winners = keep_of_tile(open, word(lane), word(lane + kWarp));
      if (lane == 0) kept_of_tile = winners;
    }
    __syncthreads();
    const uint64_t winners = kept_of_tile;
    if (share == 0 && winners >> row & 1) {
      best[count + __popcll(winners & ((uint64_t(1) << row) - 1))] = mine;
      kept[place[first + row]] = true;
    }
    count += __popcll(winners);
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

int class_spans(const int64_t* classes, int64_t n, const ClassSpans& spans, CUstream_st* stream) {
  return simt::launch(class_spans_kernel, simt::strided_grid(n, kKeyThreads), kKeyThreads, 0, stream, classes, n,
                      spans);
}

template <class T>
int nms_of_classes(const Candidates<T>& candidates, const ClassSpans& spans, int count, const int64_t* place,
                   bool* kept, CUstream_st* stream) {
  const size_t shared_bytes = kNmsOfClass<T> * sizeof(Measured<T>);
  return simt::launch(nms_of_classes_kernel<T>, count, kClassThreads, shared_bytes, stream, candidates, spans.span,
                      place, kept);
}

template int score_keys(const float*, int64_t, int32_t*, CUstream_st*);
template int score_keys(const double*, int64_t, int64_t*, CUstream_st*);
template int nms(const Candidates<float>&, const NmsMemory&, CUstream_st*);
template int nms(const Candidates<double>&, const NmsMemory&, CUstream_st*);
template int nms_of_classes(const Candidates<float>&, const ClassSpans&, int, const int64_t*, bool*, CUstream_st*);
template int nms_of_classes(const Candidates<double>&, const ClassSpans&, int, const int64_t*, bool*, CUstream_st*);

}  // namespace roibench::cuda
