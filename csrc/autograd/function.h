// What derivatives share: operators to be called through the dispatcher, and forward mode. torch::autograd::Function
// knows backward mode only, so that an operator takes the tangents off its arguments before, and puts one on its
// result.
#pragma once

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace roibench {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

template <class Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

template <class... Tensors>
bool needs_graph(const Tensors&... t) {
  return at::GradMode::is_enabled() && (t.requires_grad() || ...);
}

// F::apply, which torch.func's transforms don't allow, only where a graph is needed.
template <class F, class... Args>
auto apply(bool graph, const Args&... args) {
  if (graph) return F::apply(args...);
  AutogradContext unused;
  return F::forward(&unused, args...);
}

// Undefined where there is none.
inline Tensor tangent(const Tensor& t) {
  return t.defined() ? t._fw_grad(/*level=*/0) : Tensor();
}

// Without its tangent.
inline Tensor primal(const Tensor& t) {
  return tangent(t).defined() ? t._fw_primal(/*level=*/0) : t;
}

inline void set_tangent(const Tensor& out, const Tensor& tangent) {
  out._set_fw_grad(tangent.to(out.scalar_type()), /*level=*/0, /*is_inplace_op=*/false);
}

// What a Function is to save, given to it beside its arguments, with the tangents that these have no more: forward mode
// over backward mode differentiates what is computed from it.
struct Saved {
  variable_list tensors;
};

// An operator that is linear in its first argument: its tangent is what it makes of that argument's.
template <class F, class Op, class... Args>
Tensor apply_linear(const Op& op, const Tensor& input, const Tensor& rois, const Args&... args) {
  const Tensor out = apply<F>(needs_graph(input, rois), primal(input), rois, args...);
  if (const Tensor change = tangent(input); change.defined()) set_tangent(out, op.call(change, rois, args...));
  return out;
}

// For an argument by which there is no derivative.
inline void refuse_tangent(const char* op, const char* name, const Tensor& t) {
  TORCH_CHECK_NOT_IMPLEMENTED(!tangent(t).defined(), op, ": ", name, " has a tangent, but no derivative; detach() it");
}

}  // namespace roibench
