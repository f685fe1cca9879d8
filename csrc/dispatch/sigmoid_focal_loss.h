// sigmoid_focal_loss on any device. A Device has forward<S>, reduce<S> and backward<S> for tensors of the type S in one
// memory order.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <limits>

#include "../checks.h"
#include "../focal_loss.h"
#include "../layout.h"

namespace roibench {

template <class T>
FocalLoss<T> focal_loss_of(double alpha, double gamma) {
  const bool weighted = alpha >= 0;
  return {T(gamma), weighted ? T(alpha) : T(1), weighted ? T(1 - alpha) : T(1)};
}

inline void check_focal_loss(const char* op, const at::Tensor& inputs, const at::Tensor& targets, double alpha,
                             double gamma) {
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

template <class Device>
at::Tensor sigmoid_focal_loss(const at::Tensor& inputs, const at::Tensor& targets, double alpha, double gamma,
                              c10::string_view reduction) {
  check_focal_loss("sigmoid_focal_loss", inputs, targets, alpha, gamma);
  const bool reduce = reduction != "none", mean = reduction == "mean";
  TORCH_CHECK_VALUE(!reduce || mean || reduction == "sum",
                    "sigmoid_focal_loss: reduction must be 'none', 'mean' or 'sum', got '", reduction, "'");
  const c10::DeviceGuard guard(inputs.device());
  const auto dtype = c10::promoteTypes(inputs.scalar_type(), targets.scalar_type());
  const at::MemoryFormat layout = format(is_channels_last(inputs));
  const at::Tensor x = as(inputs, dtype, layout), t = as(targets, dtype, layout);
  at::Tensor out = reduce ? at::empty({}, x.options()) : at::empty(x.sizes(), x.options().memory_format(layout));
  if (out.numel() == 0) return out;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "sigmoid_focal_loss", [&] {
    const auto loss = focal_loss_of<at::opmath_type<scalar_t>>(alpha, gamma);
    if (reduce) {
      Device::template reduce<scalar_t>(loss, mean, x, t, out);
    } else {
      Device::template forward<scalar_t>(loss, x, t, out);
    }
  });
  return out;
}

// The gradient of a sum or a mean is one number for all.
inline bool is_expanded_number(const at::Tensor& t) {
  return std::all_of(t.strides().begin(), t.strides().end(), [](int64_t stride) { return stride == 0; });
}

template <class Device>
at::Tensor sigmoid_focal_loss_backward(const at::Tensor& grad, const at::Tensor& inputs, const at::Tensor& targets,
                                       double alpha, double gamma, int64_t order) {
  check_focal_loss("sigmoid_focal_loss_backward", inputs, targets, alpha, gamma);
  check_floating("sigmoid_focal_loss_backward", "grad", grad);
  check_same_device("sigmoid_focal_loss_backward", "grad", grad, inputs);
  TORCH_CHECK_VALUE(grad.sizes() == inputs.sizes(), "sigmoid_focal_loss_backward: grad must have the shape of inputs, ",
                    inputs.sizes(), ", got ", grad.sizes());
  TORCH_CHECK_VALUE(order == 1 || order == 2, "sigmoid_focal_loss_backward: order must be 1 or 2, got ", order);
  const c10::DeviceGuard guard(inputs.device());
  const auto dtype = c10::promoteTypes(inputs.scalar_type(), targets.scalar_type());
  const at::MemoryFormat layout = format(is_channels_last(inputs));
  const at::Tensor x = as(inputs, dtype, layout), t = as(targets, dtype, layout);
  at::Tensor out = at::empty(x.sizes(), x.options().memory_format(layout));
  if (out.numel() == 0) return as(out, inputs.scalar_type(), layout);
  const bool one = is_expanded_number(grad);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "sigmoid_focal_loss_backward", [&] {
    using T = at::opmath_type<scalar_t>;
    // One number for all is not rounded to a half: a mean's is small.
    const at::Tensor d = one ? grad.as_strided({}, {}).to(c10::CppTypeToScalarType<T>::value) : as(grad, dtype, layout);
    Device::template backward<scalar_t>(focal_loss_of<T>(alpha, gamma), order, d, one, x, t, out);
  });
  return as(out, inputs.scalar_type(), layout);
}

}  // namespace roibench
