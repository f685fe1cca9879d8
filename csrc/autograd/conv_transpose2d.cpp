// The derivatives of a transposed convolution are convolutions, and ATen's convolution_backward knows their
// derivatives.
#include <ATen/TensorOperators.h>
#include <ATen/ops/convolution_backward.h>

#include <array>
#include <optional>

#include "function.h"

namespace roibench {
namespace {

using Signature = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::SymIntArrayRef,
                         c10::SymIntArrayRef, c10::SymIntArrayRef, c10::SymInt, c10::SymIntArrayRef);

const auto& op() {
  static const auto op = find<Signature>("roibench::conv_transpose2d");
  return op;
}

struct ConvTranspose2d : Function<ConvTranspose2d> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias, c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                        c10::SymIntArrayRef output_padding, const c10::SymInt& groups, c10::SymIntArrayRef dilation,
                        const Saved& both) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward(both.tensors);
    ctx->saved_data["has_bias"] = bias.has_value() && bias->defined();
    ctx->saved_data["stride"] = stride;
    ctx->saved_data["padding"] = padding;
    ctx->saved_data["output_padding"] = output_padding;
    ctx->saved_data["groups"] = groups;
    ctx->saved_data["dilation"] = dilation;
    return op().call(input, weight, bias, stride, padding, output_padding, groups, dilation);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1];
    const c10::SymInt groups = ctx->saved_data["groups"].toSymInt();
    const c10::SymInt channels = weight.sym_size(1) * groups;
    const bool has_bias = ctx->saved_data["has_bias"].toBool();  // a bias that is not there has no place in the graph
    const std::array<bool, 3> wanted = {ctx->needs_input_grad(0), ctx->needs_input_grad(1),
                                        has_bias && ctx->needs_input_grad(2)};
    auto [by_input, by_weight, by_bias] = at::convolution_backward_symint(
        grads[0], input, weight, c10::SymIntArrayRef(&channels, 1), ctx->saved_data["stride"].toSymIntVector(),
        ctx->saved_data["padding"].toSymIntVector(), ctx->saved_data["dilation"].toSymIntVector(), /*transposed=*/true,
        ctx->saved_data["output_padding"].toSymIntVector(), groups, wanted);
    return {by_input, by_weight, by_bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                        c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef output_padding,
                        c10::SymInt groups, c10::SymIntArrayRef dilation) {
  const Tensor x = primal(input), w = primal(weight), b = bias.value_or(Tensor());
  const Tensor out = apply<ConvTranspose2d>(needs_graph(x, w) || (b.defined() && needs_graph(b)), x, w,
                                            b.defined() ? std::optional<Tensor>(primal(b)) : std::nullopt, stride,
                                            padding, output_padding, groups, dilation, Saved{{input, weight}});
  const auto convolve = [&](const Tensor& map, const Tensor& kernel) {
    return op().call(map, kernel, std::nullopt, stride, padding, output_padding, groups, dilation);
  };
  Tensor change;
  const auto add = [&](const Tensor& t) { change = change.defined() ? change + t : t; };
  if (tangent(input).defined()) add(convolve(tangent(input), w));
  if (tangent(weight).defined()) add(convolve(x, tangent(weight)));
  if (tangent(b).defined()) add(tangent(b).view({1, -1, 1, 1}).expand_symint(out.sym_sizes()));
  if (change.defined()) set_tangent(out, change);
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("conv_transpose2d", &conv_transpose2d);
}

}  // namespace roibench
