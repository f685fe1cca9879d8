#include "../dispatch/nms.h"

#include <torch/library.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "stable_order.h"

namespace roibench {
namespace {

struct Cpu {
  // NMS on each class by itself: boxes of two classes never meet, so classes go to different threads.
  // idxs may be undefined: all boxes are of one class.
  template <class T>
  static at::Tensor suppress(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& idxs, T threshold) {
    const int64_t n = boxes.size(0);
    const T* const corners = boxes.const_data_ptr<T>();
    const std::vector<int64_t> order = by_score(scores.const_data_ptr<T>(), n);

    std::vector<int64_t> rank(n);      // places in `order`, class after class, best first within each
    std::vector<int64_t> first = {0};  // where each class begins in `rank`
    if (idxs.defined()) {
      const int64_t* const classes = idxs.const_data_ptr<int64_t>();
      const uint64_t least = *std::min_element(classes, classes + n);
      std::vector<uint64_t> keys(n);
      for (int64_t r = 0; r < n; ++r) keys[r] = classes[order[r]] - least;
      rank = stable_order(keys);
      for (int64_t i = 1; i < n; ++i) {
        if (keys[rank[i]] != keys[rank[i - 1]]) first.push_back(i);
      }
    } else {
      std::iota(rank.begin(), rank.end(), 0);
    }
    first.push_back(n);

    std::vector<int64_t> candidates(n);
    for (int64_t i = 0; i < n; ++i) candidates[i] = order[rank[i]];
    const auto kept = std::make_unique<bool[]>(n);
    at::parallel_for(0, static_cast<int64_t>(first.size()) - 1, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        kernels<T>().nms(corners, candidates.data() + first[c], first[c + 1] - first[c], threshold,
                         kept.get() + first[c]);
      }
    });

    std::vector<int64_t> survivors;  // ranks, to be put back in the order of scores
    for (int64_t i = 0; i < n; ++i) {
      if (kept[i]) survivors.push_back(rank[i]);
    }
    std::sort(survivors.begin(), survivors.end());
    at::Tensor out = at::empty({static_cast<int64_t>(survivors.size())}, boxes.options().dtype(at::kLong));
    std::transform(survivors.begin(), survivors.end(), out.mutable_data_ptr<int64_t>(),
                   [&](int64_t r) { return order[r]; });
    return out;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("nms", &nms<Cpu>);
  m.impl("batched_nms", &batched_nms<Cpu>);
}

}  // namespace roibench
