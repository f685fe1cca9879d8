// Box IoU is smooth almost everywhere. It has a first derivative only: its second is nobody's loss.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>

#include <string>
#include <tuple>

#include "function.h"

namespace roibench {
namespace {

constexpr const char* kFirstOnly = "box_iou has a first derivative only";

const auto& box_iou_op() {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, c10::string_view, bool)>("roibench::box_iou");
  return op;
}
const auto& box_iou_backward_op() {
  static const auto op =
      find<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, c10::string_view, bool)>(
          "roibench::box_iou_backward");
  return op;
}

struct BoxIouBackward : Function<BoxIouBackward> {
  static variable_list forward(AutogradContext*, const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                               const std::string& kind, bool elementwise) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [grad1, grad2] = box_iou_backward_op().call(grad, boxes1, boxes2, kind, elementwise);
    return {grad1, grad2};
  }
  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(false, kFirstOnly);
  }
};

std::tuple<Tensor, Tensor> box_iou_backward(const Tensor& grad, const Tensor& boxes1, const Tensor& boxes2,
                                            c10::string_view kind, bool elementwise) {
  TORCH_CHECK_NOT_IMPLEMENTED(!tangent(boxes1).defined() && !tangent(boxes2).defined(), kFirstOnly);
  const variable_list grads = apply<BoxIouBackward>(needs_graph(grad, boxes1, boxes2), primal(grad), boxes1, boxes2,
                                                    std::string(kind), elementwise);
  if (const Tensor change = tangent(grad); change.defined()) {
    const auto [change1, change2] = box_iou_backward_op().call(change, boxes1, boxes2, kind, elementwise);
    set_tangent(grads[0], change1);
    set_tangent(grads[1], change2);
  }
  return {grads[0], grads[1]};
}

struct BoxIou : Function<BoxIou> {
  static Tensor forward(AutogradContext* ctx, const Tensor& boxes1, const Tensor& boxes2, const std::string& kind,
                        bool elementwise, const Saved& both) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward(both.tensors);
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["elementwise"] = elementwise;
    return box_iou_op().call(boxes1, boxes2, kind, elementwise);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto [grad1, grad2] = box_iou_backward(grads[0], saved[0], saved[1], ctx->saved_data["kind"].toStringRef(),
                                                 ctx->saved_data["elementwise"].toBool());
    return {grad1, grad2, Tensor(), Tensor(), Tensor()};
  }
};

// The tangent of overlaps in the type of these: each pair's derivatives by its two boxes, times the boxes' tangents.
Tensor overlap_tangent(const Tensor& boxes1, const Tensor& boxes2, const Tensor& change1, const Tensor& change2,
                       c10::string_view kind, bool elementwise, at::ScalarType dtype) {
  const c10::SymInt n = boxes1.sym_size(0), m = elementwise ? c10::SymInt(1) : boxes2.sym_size(0);
  const auto rows = [&](const Tensor& t) { return t.to(dtype).unsqueeze(1); };                             // [N, 1, 4]
  const auto columns = [&](const Tensor& t) { return elementwise ? rows(t) : t.to(dtype).unsqueeze(0); };  // [1, M, 4]
  const auto pairs = [&](const Tensor& t) { return t.expand_symint({n, m, 4}).reshape_symint({n * m, 4}); };
  const Tensor first = pairs(rows(boxes1)), second = pairs(columns(boxes2));
  const Tensor ones = at::ones_symint({n * m}, first.options());
  const auto [by_first, by_second] = box_iou_backward_op().call(ones, first, second, kind, /*elementwise=*/true);
  Tensor sum;
  if (change1.defined()) sum = (by_first.view_symint({n, m, 4}) * rows(change1)).sum(-1);
  if (change2.defined()) {
    const Tensor other = (by_second.view_symint({n, m, 4}) * columns(change2)).sum(-1);
    sum = sum.defined() ? sum + other : other;
  }
  return elementwise ? sum.squeeze(1) : sum;
}

Tensor box_iou(const Tensor& boxes1, const Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const Tensor first = primal(boxes1), second = primal(boxes2), change1 = tangent(boxes1), change2 = tangent(boxes2);
  const Tensor out =
      apply<BoxIou>(needs_graph(first, second), first, second, std::string(kind), elementwise, Saved{{boxes1, boxes2}});
  if (change1.defined() || change2.defined()) {
    set_tangent(out, overlap_tangent(first, second, change1, change2, kind, elementwise, out.scalar_type()));
  }
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("box_iou", &box_iou);
  m.impl("box_iou_backward", &box_iou_backward);
}

}  // namespace roibench
