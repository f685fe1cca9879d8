// box_iou on any device. A Device has forward<T> and backward<T>, for contiguous tensors of one type that are not
// empty.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>

#include <tuple>

#include "../checks.h"

namespace roibench {

template <class Device>
at::Tensor box_iou(const at::Tensor& boxes1, const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou", boxes1, boxes2, kind, elementwise);
  const c10::DeviceGuard guard(boxes1.device());
  const auto dtype = arithmetic(boxes1, boxes2);
  at::Tensor out = at::empty(box_iou_shape(boxes1, boxes2, elementwise), boxes1.options().dtype(dtype));
  if (out.numel() == 0) return out;
  const at::Tensor a = boxes1.to(dtype).contiguous(), b = boxes2.to(dtype).contiguous();
  AT_DISPATCH_FLOATING_TYPES(dtype, "box_iou",
                             [&] { Device::template forward<scalar_t>(which, a, b, elementwise, out); });
  return out;
}

template <class Device>
std::tuple<at::Tensor, at::Tensor> box_iou_backward(const at::Tensor& grad, const at::Tensor& boxes1,
                                                    const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou_backward", boxes1, boxes2, kind, elementwise);
  check_box_iou_grad(grad, boxes1, boxes2, elementwise);
  const c10::DeviceGuard guard(boxes1.device());
  const auto dtype = arithmetic(boxes1, boxes2);
  at::Tensor grad1 = at::zeros(boxes1.sizes(), boxes1.options().dtype(dtype));
  at::Tensor grad2 = at::zeros(boxes2.sizes(), boxes2.options().dtype(dtype));
  if (grad.numel() > 0) {
    const at::Tensor a = boxes1.to(dtype).contiguous(), b = boxes2.to(dtype).contiguous();
    const at::Tensor d = grad.to(dtype).contiguous();
    AT_DISPATCH_FLOATING_TYPES(dtype, "box_iou_backward",
                               [&] { Device::template backward<scalar_t>(which, d, a, b, elementwise, grad1, grad2); });
  }
  return {grad1.to(boxes1.scalar_type()), grad2.to(boxes2.scalar_type())};
}

}  // namespace roibench
