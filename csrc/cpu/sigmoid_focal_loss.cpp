#include "../dispatch/sigmoid_focal_loss.h"

#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "half.h"
#include "kernels.h"
#include "parallel.h"

namespace roibench {
namespace {

constexpr int64_t kChunk = 1024;  // numbers that are read, computed and summed together: they stay in the L1 cache
constexpr int64_t kCost = 16;     // of a number, in operations on vectors

// The numbers of a chunk in the type of the arithmetic: converted where they are of another.
template <class T, class S>
struct Chunk {
  T converted[is_half<S> ? kChunk : 1];

  const T* read(const S* from, int64_t n) {
    if constexpr (is_half<S>) {
      widen(from, converted, n);
      return converted;
    } else {
      return from;
    }
  }
  // Calls compute(where to) for n numbers, which end up in `to`.
  template <class F>
  void write(S* to, int64_t n, const F& compute) {
    if constexpr (is_half<S>) {
      compute(converted);
      narrow(converted, to, n);
    } else {
      compute(to);
    }
  }
};

// Calls f(chunk, first number, numbers) for chunks in any order, on torch's threads.
template <class F>
void for_each_chunk(int64_t n, const F& f) {
  at::parallel_for(0, at::divup(n, kChunk), grain(kChunk * kCost), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) f(c, c * kChunk, std::min(kChunk, n - c * kChunk));
  });
}

struct Cpu {
  template <class S, class T = at::opmath_type<S>>
  static void forward(const FocalLoss<T>& loss, const at::Tensor& inputs, const at::Tensor& targets, at::Tensor& out) {
    const S* const x = inputs.const_data_ptr<S>();
    const S* const t = targets.const_data_ptr<S>();
    S* const to = out.mutable_data_ptr<S>();
    for_each_chunk(inputs.numel(), [&](int64_t, int64_t first, int64_t n) {
      Chunk<T, S> chunk_x, chunk_t, out_chunk;
      const T* const from_x = chunk_x.read(x + first, n);
      const T* const from_t = chunk_t.read(t + first, n);
      out_chunk.write(to + first, n, [&](T* out) { kernels<T>().focal_loss(loss, from_x, from_t, out, n); });
    });
  }

  // The sum of each chunk by halves, then of the chunks in their order, in float64.
  template <class S, class T = at::opmath_type<S>>
  static void reduce(const FocalLoss<T>& loss, bool mean, const at::Tensor& inputs, const at::Tensor& targets,
                     at::Tensor& out) {
    const S* const x = inputs.const_data_ptr<S>();
    const S* const t = targets.const_data_ptr<S>();
    std::vector<double> sums(at::divup(inputs.numel(), kChunk));
    for_each_chunk(inputs.numel(), [&](int64_t chunk, int64_t first, int64_t n) {
      Chunk<T, S> chunk_x, chunk_t;
      T result[kChunk];
      kernels<T>().focal_loss(loss, chunk_x.read(x + first, n), chunk_t.read(t + first, n), result, n);
      std::fill(result + n, result + kChunk, T(0));
      sums[chunk] = kernels<T>().sum_by_halves(result, kChunk);
    });
    const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
    out.fill_(mean ? total / static_cast<double>(inputs.numel()) : total);
  }

  template <class S, class T = at::opmath_type<S>>
  static void backward(const FocalLoss<T>& loss, int64_t order, const at::Tensor& grad, bool one,
                       const at::Tensor& inputs, const at::Tensor& targets, at::Tensor& out) {
    const T* const same = one ? grad.const_data_ptr<T>() : nullptr;
    const S* const d = one ? nullptr : grad.const_data_ptr<S>();
    const S* const x = inputs.const_data_ptr<S>();
    const S* const t = targets.const_data_ptr<S>();
    S* const to = out.mutable_data_ptr<S>();
    for_each_chunk(inputs.numel(), [&](int64_t, int64_t first, int64_t n) {
      Chunk<T, S> chunk_d, chunk_x, chunk_t, out_chunk;
      const T* const from_d = one ? same : chunk_d.read(d + first, n);
      const T* const from_x = chunk_x.read(x + first, n);
      const T* const from_t = chunk_t.read(t + first, n);
      out_chunk.write(to + first, n, [&](T* out) {
        kernels<T>().focal_loss_derivative(loss, order, from_d, !one, from_x, from_t, out, n);
      });
    });
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss<Cpu>);
  m.impl("sigmoid_focal_loss_backward", &sigmoid_focal_loss_backward<Cpu>);
}

}  // namespace roibench
