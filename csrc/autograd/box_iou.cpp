// Box IoU is smooth almost everywhere. It has a first derivative only: its second is nobody's loss.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <tuple>

namespace roibench {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct BoxIouBackward : Function<BoxIouBackward> {
  static variable_list forward(AutogradContext*, const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                               const std::string& kind, bool elementwise) {
    at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("roibench::box_iou_backward", "")
            .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, c10::string_view, bool)>();
    auto [grad1, grad2] = op.call(grad, boxes1, boxes2, kind, elementwise);
    return {grad1, grad2};
  }
  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "box_iou has a first derivative only");
  }
};

std::tuple<Tensor, Tensor> box_iou_backward(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                            c10::string_view kind, bool elementwise) {
  const variable_list grads = BoxIouBackward::apply(grad, boxes1, boxes2, std::string(kind), elementwise);
  return {grads[0], grads[1]};
}

struct BoxIou : Function<BoxIou> {
  static Tensor forward(AutogradContext* ctx, const Tensor& boxes1, const Tensor& boxes2, const std::string& kind,
                        bool elementwise) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({boxes1, boxes2});
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["elementwise"] = elementwise;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("roibench::box_iou", "")
                               .typed<Tensor(const Tensor&, const Tensor&, c10::string_view, bool)>();
    return op.call(boxes1, boxes2, kind, elementwise);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto [grad1, grad2] = box_iou_backward(grads[0], saved[0], saved[1], ctx->saved_data["kind"].toStringRef(),
                                                 ctx->saved_data["elementwise"].toBool());
    return {grad1, grad2, Tensor(), Tensor()};
  }
};

Tensor box_iou(const Tensor& boxes1, const Tensor& boxes2, c10::string_view kind, bool elementwise) {
  return BoxIou::apply(boxes1, boxes2, std::string(kind), elementwise);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("box_iou", &box_iou);
  m.impl("box_iou_backward", &box_iou_backward);
}

}  // namespace roibench
