#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "../checks.h"
#include "half.h"
#include "kernels.h"
#include "layout.h"
#include "parallel.h"

namespace roibench {
namespace {

using at::MemoryFormat;

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

template <class T>
FocalLoss<T> focal_loss_of(double alpha, double gamma) {
  const bool weighted = alpha >= 0;
  return {T(gamma), weighted ? T(alpha) : T(1), weighted ? T(1 - alpha) : T(1)};
}

// Calls f(chunk, first number, numbers) for chunks in any order, on torch's threads.
template <class F>
void for_each_chunk(int64_t n, const F& f) {
  at::parallel_for(0, at::divup(n, kChunk), grain(kChunk * kCost), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) f(c, c * kChunk, std::min(kChunk, n - c * kChunk));
  });
}

template <class S, class T = at::opmath_type<S>>
void forward(const FocalLoss<T>& loss, const at::Tensor& inputs, const at::Tensor& targets, at::Tensor& out) {
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
double sum(const FocalLoss<T>& loss, const at::Tensor& inputs, const at::Tensor& targets) {
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
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

void check_arguments(const char* op, const at::Tensor& inputs, const at::Tensor& targets, double alpha, double gamma) {
  check_floating(op, "inputs", inputs);
  TORCH_CHECK_VALUE(targets.sizes() == inputs.sizes(), op, ": targets must have the shape of inputs, ", inputs.sizes(),
                    ", got ", targets.sizes());
  TORCH_CHECK_TYPE(!targets.is_complex(), op, ": targets must be real numbers, got ", targets.scalar_type());
  check_same_device(op, "targets", targets, inputs);
  TORCH_CHECK_VALUE((alpha >= 0 && alpha <= 1) || alpha == -1, op, ": alpha must be in [0, 1], or -1 for none, got ",
                    alpha);
  TORCH_CHECK_VALUE(gamma >= 0 && gamma < std::numeric_limits<double>::infinity(), op,
                    ": gamma must be finite and not negative, got ", gamma);
}

at::Tensor sigmoid_focal_loss(const at::Tensor& inputs, const at::Tensor& targets, double alpha, double gamma,
                              c10::string_view reduction) {
  check_arguments("sigmoid_focal_loss", inputs, targets, alpha, gamma);
  TORCH_CHECK_VALUE(reduction == "none" || reduction == "mean" || reduction == "sum",
                    "sigmoid_focal_loss: reduction must be 'none', 'mean' or 'sum', got '", reduction, "'");
  const auto dtype = c10::promoteTypes(inputs.scalar_type(), targets.scalar_type());
  const MemoryFormat layout = format(is_channels_last(inputs));
  const at::Tensor x = as(inputs, dtype, layout), t = as(targets, dtype, layout);
  at::Tensor out =
      reduction == "none" ? at::empty(x.sizes(), x.options().memory_format(layout)) : at::zeros({}, x.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "sigmoid_focal_loss", [&] {
    const auto loss = focal_loss_of<at::opmath_type<scalar_t>>(alpha, gamma);
    if (reduction == "none") {
      forward<scalar_t>(loss, x, t, out);
    } else {
      const double total = sum<scalar_t>(loss, x, t);
      out.fill_(reduction == "mean" ? total / static_cast<double>(x.numel()) : total);
    }
  });
  return out;
}

// grad is undefined where it is the same `number` for all.
template <class S, class T = at::opmath_type<S>>
void backward(const FocalLoss<T>& loss, int64_t order, const at::Tensor& grad, T number, const at::Tensor& inputs,
              const at::Tensor& targets, at::Tensor& out) {
  const S* const d = grad.defined() ? grad.const_data_ptr<S>() : nullptr;
  const S* const x = inputs.const_data_ptr<S>();
  const S* const t = targets.const_data_ptr<S>();
  S* const to = out.mutable_data_ptr<S>();
  for_each_chunk(inputs.numel(), [&](int64_t, int64_t first, int64_t n) {
    Chunk<T, S> chunk_d, chunk_x, chunk_t, out_chunk;
    const T* const from_d = d != nullptr ? chunk_d.read(d + first, n) : &number;
    const int64_t grad_step = d != nullptr;
    const T* const from_x = chunk_x.read(x + first, n);
    const T* const from_t = chunk_t.read(t + first, n);
    out_chunk.write(to + first, n, [&](T* out) {
      kernels<T>().focal_loss_derivative(loss, order, from_d, grad_step, from_x, from_t, out, n);
    });
  });
}

// The gradient of a sum or a mean is one number for all.
bool is_expanded_number(const at::Tensor& t) {
  return std::all_of(t.strides().begin(), t.strides().end(), [](int64_t stride) { return stride == 0; });
}

at::Tensor sigmoid_focal_loss_backward(const at::Tensor& grad, const at::Tensor& inputs, const at::Tensor& targets,
                                       double alpha, double gamma, int64_t order) {
  check_arguments("sigmoid_focal_loss_backward", inputs, targets, alpha, gamma);
  check_floating("sigmoid_focal_loss_backward", "grad", grad);
  check_same_device("sigmoid_focal_loss_backward", "grad", grad, inputs);
  TORCH_CHECK_VALUE(grad.sizes() == inputs.sizes(), "sigmoid_focal_loss_backward: grad must have the shape of inputs, ",
                    inputs.sizes(), ", got ", grad.sizes());
  TORCH_CHECK_VALUE(order == 1 || order == 2, "sigmoid_focal_loss_backward: order must be 1 or 2, got ", order);
  const auto dtype = c10::promoteTypes(inputs.scalar_type(), targets.scalar_type());
  const MemoryFormat layout = format(is_channels_last(inputs));
  const at::Tensor x = as(inputs, dtype, layout), t = as(targets, dtype, layout);
  at::Tensor out = at::empty(x.sizes(), x.options().memory_format(layout));
  if (out.numel() == 0) return as(out, inputs.scalar_type(), layout);
  const bool one = is_expanded_number(grad);
  const double number = one ? grad.as_strided({}, {}).item<double>() : 0;  // in its own precision: a mean's is small
  const at::Tensor d = one ? at::Tensor() : as(grad, dtype, layout);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "sigmoid_focal_loss_backward", [&] {
    using T = at::opmath_type<scalar_t>;
    backward<scalar_t>(focal_loss_of<T>(alpha, gamma), order, d, static_cast<T>(number), x, t, out);
  });
  return as(out, inputs.scalar_type(), layout);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss);
  m.impl("sigmoid_focal_loss_backward", &sigmoid_focal_loss_backward);
}

}  // namespace roibench
