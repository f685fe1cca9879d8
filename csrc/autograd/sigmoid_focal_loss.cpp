// The focal loss has two derivatives by its logits, both in closed form: the second is the backward of the first.
// Its targets are labels, not variables.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>

namespace roibench {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

Tensor sigmoid_focal_loss_backward(const Tensor& grad, const Tensor& inputs, const Tensor& targets, double alpha,
                                   double gamma, int64_t order);

struct SigmoidFocalLoss : Function<SigmoidFocalLoss> {
  static Tensor forward(AutogradContext* ctx, const Tensor& inputs, const Tensor& targets, double alpha, double gamma,
                        const std::string& reduction) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({inputs, targets});
    ctx->saved_data["alpha"] = alpha;
    ctx->saved_data["gamma"] = gamma;
    ctx->saved_data["mean"] = reduction == "mean";
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("roibench::sigmoid_focal_loss", "")
                               .typed<Tensor(const Tensor&, const Tensor&, double, double, c10::string_view)>();
    return op.call(inputs, targets, alpha, gamma, reduction);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor& inputs = saved[0];
    Tensor grad = grads[0];
    if (ctx->saved_data["mean"].toBool()) {  // by so many that a half type would underflow
      grad = grad.to(c10::promoteTypes(grad.scalar_type(), at::kFloat)).div(at::Scalar(inputs.sym_numel()));
    }
    return {sigmoid_focal_loss_backward(grad.expand_symint(inputs.sym_sizes()), inputs, saved[1],
                                        ctx->saved_data["alpha"].toDouble(), ctx->saved_data["gamma"].toDouble(), 1),
            Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct SigmoidFocalLossBackward : Function<SigmoidFocalLossBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad, const Tensor& inputs, const Tensor& targets,
                        double alpha, double gamma, int64_t order) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({grad, inputs, targets});
    ctx->saved_data["alpha"] = alpha;
    ctx->saved_data["gamma"] = gamma;
    ctx->saved_data["order"] = order;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("roibench::sigmoid_focal_loss_backward", "")
                               .typed<Tensor(const Tensor&, const Tensor&, const Tensor&, double, double, int64_t)>();
    return op.call(grad, inputs, targets, alpha, gamma, order);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const int64_t order = ctx->saved_data["order"].toInt();
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &grad = saved[0], &inputs = saved[1], &targets = saved[2];
    const double alpha = ctx->saved_data["alpha"].toDouble(), gamma = ctx->saved_data["gamma"].toDouble();
    Tensor by_grad, by_inputs;
    if (ctx->needs_input_grad(0)) {
      by_grad = sigmoid_focal_loss_backward(grads[0], inputs, targets, alpha, gamma, order).to(grad.scalar_type());
    }
    if (ctx->needs_input_grad(1)) {
      TORCH_CHECK_NOT_IMPLEMENTED(order == 1, "sigmoid_focal_loss has a first and a second derivative only");
      by_inputs = sigmoid_focal_loss_backward(grads[0].mul(grad), inputs, targets, alpha, gamma, 2);
    }
    return {by_grad, by_inputs, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

void check_targets(const Tensor& targets) {
  TORCH_CHECK_NOT_IMPLEMENTED(!(at::GradMode::is_enabled() && targets.requires_grad()),
                              "sigmoid_focal_loss: targets has no derivative, but requires one; detach() it");
}

Tensor sigmoid_focal_loss(const Tensor& inputs, const Tensor& targets, double alpha, double gamma,
                          c10::string_view reduction) {
  check_targets(targets);
  return SigmoidFocalLoss::apply(inputs, targets, alpha, gamma, std::string(reduction));
}

Tensor sigmoid_focal_loss_backward(const Tensor& grad, const Tensor& inputs, const Tensor& targets, double alpha,
                                   double gamma, int64_t order) {
  check_targets(targets);
  return SigmoidFocalLossBackward::apply(grad, inputs, targets, alpha, gamma, order);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss);
  m.impl("sigmoid_focal_loss_backward", &sigmoid_focal_loss_backward);
}

}  // namespace roibench
