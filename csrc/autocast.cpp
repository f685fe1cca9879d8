// What autocast does to operators that don't just compute in float32: convolutions run in the lower precision, as
// torch's do; losses run in float32, so that their sum does too.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include <optional>

namespace roibench {
namespace {

using at::Tensor;
using at::autocast::cached_cast;
using c10::DeviceType;

c10::impl::ExcludeDispatchKeyGuard without_autocast(DeviceType device) {
  return c10::impl::ExcludeDispatchKeyGuard(at::autocast::get_autocast_dispatch_key_from_device_type(device));
}

template <DeviceType device>
Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                        c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef output_padding,
                        c10::SymInt groups, c10::SymIntArrayRef dilation) {
  const auto guard = without_autocast(device);
  const auto lower = at::autocast::get_lower_precision_fp_from_device_type(device);
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("roibench::conv_transpose2d", "")
          .typed<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::SymIntArrayRef,
                        c10::SymIntArrayRef, c10::SymIntArrayRef, c10::SymInt, c10::SymIntArrayRef)>();
  return op.call(cached_cast(lower, input, device), cached_cast(lower, weight, device),
                 cached_cast(lower, bias, device), stride, padding, output_padding, groups, dilation);
}

template <DeviceType device>
Tensor sigmoid_focal_loss(const Tensor& inputs, const Tensor& targets, double alpha, double gamma,
                          c10::string_view reduction) {
  const auto guard = without_autocast(device);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("roibench::sigmoid_focal_loss", "")
                             .typed<Tensor(const Tensor&, const Tensor&, double, double, c10::string_view)>();
  return op.call(cached_cast(at::kFloat, inputs, device), cached_cast(at::kFloat, targets, device), alpha, gamma,
                 reduction);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, AutocastCPU, m) {
  m.impl("conv_transpose2d", &conv_transpose2d<DeviceType::CPU>);
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss<DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(roibench, AutocastCUDA, m) {
  m.impl("conv_transpose2d", &conv_transpose2d<DeviceType::CUDA>);
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss<DeviceType::CUDA>);
}

}  // namespace roibench
