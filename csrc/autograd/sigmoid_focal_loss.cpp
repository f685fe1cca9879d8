// The focal loss has two derivatives by its logits, both in closed form: the second is the backward of the first.
// Its targets are labels, not variables.
#include <ATen/TensorOperators.h>

#include <string>

#include "function.h"

namespace roibench {
namespace {

const auto& forward_op() {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, double, double, c10::string_view)>("roibench::sigmoid_focal_loss");
  return op;
}
const auto& backward_op() {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, const Tensor&, double, double, int64_t)>(
      "roibench::sigmoid_focal_loss_backward");
  return op;
}

constexpr const char* kTwoOnly = "sigmoid_focal_loss has a first and a second derivative only";

struct SigmoidFocalLoss : Function<SigmoidFocalLoss> {
  static Tensor forward(AutogradContext* ctx, const Tensor& inputs, const Tensor& targets, double alpha, double gamma,
                        const std::string& reduction, const Saved& both) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward(both.tensors);
    ctx->saved_data["alpha"] = alpha;
    ctx->saved_data["gamma"] = gamma;
    ctx->saved_data["mean"] = reduction == "mean";
    return forward_op().call(inputs, targets, alpha, gamma, reduction);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& inputs = saved[0];
    Tensor grad = grads[0];
    if (ctx->saved_data["mean"].toBool()) {  // by so many that a half type would underflow
      grad = grad.to(c10::promoteTypes(grad.scalar_type(), at::kFloat)).div(at::Scalar(inputs.sym_numel()));
    }
    return {backward_op().call(grad.expand_symint(inputs.sym_sizes()), inputs, saved[1],
                               ctx->saved_data["alpha"].toDouble(), ctx->saved_data["gamma"].toDouble(), 1),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

struct SigmoidFocalLossBackward : Function<SigmoidFocalLossBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad, const Tensor& inputs, const Tensor& targets,
                        double alpha, double gamma, int64_t order, const Saved& all) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward(all.tensors);
    ctx->saved_data["alpha"] = alpha;
    ctx->saved_data["gamma"] = gamma;
    ctx->saved_data["order"] = order;
    return backward_op().call(grad, inputs, targets, alpha, gamma, order);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const int64_t order = ctx->saved_data["order"].toInt();
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &grad = saved[0], &inputs = saved[1], &targets = saved[2];
    const double alpha = ctx->saved_data["alpha"].toDouble(), gamma = ctx->saved_data["gamma"].toDouble();
    Tensor by_grad, by_inputs;
    if (ctx->needs_input_grad(0)) {
      by_grad = backward_op().call(grads[0], inputs, targets, alpha, gamma, order).to(grad.scalar_type());
    }
    if (ctx->needs_input_grad(1)) {
      TORCH_CHECK_NOT_IMPLEMENTED(order == 1, kTwoOnly);
      by_inputs = backward_op().call(grads[0].mul(grad), inputs, targets, alpha, gamma, 2);
    }
    return {by_grad, by_inputs, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

void check_targets(const Tensor& targets) {
  TORCH_CHECK_NOT_IMPLEMENTED(!(at::GradMode::is_enabled() && targets.requires_grad()),
                              "sigmoid_focal_loss: targets has no derivative, but requires one; detach() it");
  refuse_tangent("sigmoid_focal_loss", "targets", targets);
}

Tensor sigmoid_focal_loss(const Tensor& inputs, const Tensor& targets, double alpha, double gamma,
                          c10::string_view reduction) {
  check_targets(targets);
  const Tensor x = primal(inputs);
  const Tensor out = apply<SigmoidFocalLoss>(needs_graph(x), x, targets, alpha, gamma, std::string(reduction),
                                             Saved{{inputs, targets}});
  if (const Tensor change = tangent(inputs); change.defined()) {
    const Tensor each = backward_op().call(change, x, targets, alpha, gamma, 1);
    const auto wide = c10::promoteTypes(each.scalar_type(), at::kFloat);
    set_tangent(out, reduction == "none" ? each : reduction == "sum" ? each.sum(wide) : each.mean(wide));
  }
  return out;
}

Tensor sigmoid_focal_loss_backward(const Tensor& grad, const Tensor& inputs, const Tensor& targets, double alpha,
                                   double gamma, int64_t order) {
  check_targets(targets);
  const Tensor d = primal(grad), x = primal(inputs), by_grad = tangent(grad), by_inputs = tangent(inputs);
  const Tensor out = apply<SigmoidFocalLossBackward>(needs_graph(d, x), d, x, targets, alpha, gamma, order,
                                                     Saved{{grad, inputs, targets}});
  Tensor change;
  if (by_grad.defined()) change = backward_op().call(by_grad, x, targets, alpha, gamma, order);
  if (by_inputs.defined()) {
    TORCH_CHECK_NOT_IMPLEMENTED(order == 1, kTwoOnly);
    const Tensor other = backward_op().call(by_inputs * d, x, targets, alpha, gamma, 2);
    change = change.defined() ? change + other : other;
  }
  if (change.defined()) set_tangent(out, change);
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss);
  m.impl("sigmoid_focal_loss_backward", &sigmoid_focal_loss_backward);
}

}  // namespace roibench
