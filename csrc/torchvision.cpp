// Kernels for torchvision's operators, which call ours with torchvision's arguments and return what torchvision does:
// the same shapes, types and strides, on which compiled models rely.
//
// They are registered once, when first asked for, and stay: to take a kernel out of the dispatcher's table, or to put
// one in, while another thread is calling it is not safe. A kernel that nobody asks for calls the one that it replaced.
// Kernels are plain functions, without state in the table, so that a thread which reads its entry while it is written
// finds the old function or the new one, and can't call one with what belongs to the other.
#include "torchvision.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

namespace roibench {
namespace {

using at::Tensor;
using c10::DispatchKey;

template <class Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// `from` as a contiguous tensor of `size`, with the strides of a new one also where it is empty.
Tensor laid_out(const Tensor& from, at::IntArrayRef size) {
  return at::empty(size, from.options()).copy_(from.view(size));
}
Tensor laid_out(const Tensor& from) {
  return from.is_contiguous() && from.numel() > 0 ? from : laid_out(from, from.sizes());
}

Tensor nms(const Tensor& boxes, const Tensor& scores, double iou_threshold) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, double)>("roibench::nms");
  return op.call(boxes, scores, iou_threshold);
}

Tensor roi_align(const Tensor& input, const Tensor& rois, double scale, int64_t height, int64_t width,
                 int64_t sampling_ratio, bool aligned) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt, int64_t, bool)>(
      "roibench::roi_align");
  return laid_out(op.call(input, rois, scale, height, width, sampling_ratio, aligned));
}

Tensor roi_align_backward(const Tensor& grad, const Tensor& rois, double scale, int64_t, int64_t, int64_t images,
                          int64_t channels, int64_t height, int64_t width, int64_t sampling_ratio, bool aligned) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, c10::SymIntArrayRef, double, int64_t, bool, bool)>(
      "roibench::roi_align_backward");
  const c10::SymInt size[] = {images, channels, height, width};
  return op.call(grad, rois, size, scale, sampling_ratio, aligned, /*channels_last=*/false);
}

std::tuple<Tensor, Tensor> roi_pool(const Tensor& input, const Tensor& rois, double scale, int64_t height,
                                    int64_t width) {
  static const auto op =
      find<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt, bool)>(
          "roibench::roi_pool");
  const auto [pooled, argmax] = op.call(input, rois, scale, height, width, /*with_argmax=*/true);
  const Tensor of_channel = at::empty(pooled.sizes(), argmax.options());  // argmax lies in memory bin by bin
  of_channel.flatten(2).copy_(argmax.transpose(1, 2));
  return {laid_out(pooled), of_channel};
}

Tensor roi_pool_backward(const Tensor& grad, const Tensor& rois, const Tensor& argmax, double scale,
                         int64_t pooled_height, int64_t pooled_width, int64_t images, int64_t channels, int64_t height,
                         int64_t width) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, double,
                                     c10::SymIntArrayRef, c10::SymIntArrayRef, bool)>("roibench::max_pool_backward");
  const c10::SymInt size[] = {images, channels, height, width}, grid[] = {pooled_height, pooled_width};
  return op.call(grad, argmax.flatten(2).transpose(1, 2), rois, scale, size, grid, /*channels_last=*/false);
}

std::tuple<Tensor, Tensor> ps_roi_pool(const Tensor& input, const Tensor& rois, double scale, int64_t height,
                                       int64_t width) {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt)>("roibench::ps_roi_pool");
  const Tensor pooled = op.call(input, rois, scale, height, width);
  // Bin (y, x) of output channel c reads input channel (c * height + y) * width + x.
  const auto whole = input.options().dtype(at::kInt);
  const Tensor mapping = at::empty(pooled.sizes(), whole);
  mapping.copy_(at::arange(input.size(1), whole).view(pooled.sizes().slice(1)));
  return {laid_out(pooled), mapping};
}

Tensor ps_roi_pool_backward(const Tensor& grad, const Tensor& rois, const Tensor&, double scale, int64_t, int64_t,
                            int64_t images, int64_t channels, int64_t height, int64_t width) {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, c10::SymIntArrayRef, double, bool)>("roibench::ps_roi_pool_backward");
  const c10::SymInt size[] = {images, channels, height, width};
  return op.call(grad, rois, size, scale, /*channels_last=*/false);
}

std::atomic<int64_t> open_calls = 0;

// What the dispatcher calls for a device. Boxed, because torchvision's functions take other types in other versions.
template <auto function, DispatchKey device>
struct Kernel {
  static inline c10::KernelFunction ours;
  static inline std::optional<c10::SafeKernelFunction> replaced;

  static void call(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
    if (open_calls.load(std::memory_order_relaxed) > 0) return ours.callBoxed(op, keys, stack);
    TORCH_CHECK_NOT_IMPLEMENTED(replaced.has_value(), op.operator_name(), ": torchvision has no kernel for ", device);
    replaced->callBoxed(op, keys, stack);
  }

  static void put(torch::Library& library, const char* name, const char* needed) {
    if (ours.isValid()) return;  // put already, by a call that failed later
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow((std::string("torchvision::") + name).c_str(), "");
    const auto our_op = c10::Dispatcher::singleton().findSchemaOrThrow(needed, "");
    if (!our_op.hasKernelForDispatchKey(device)) return;  // not built for it
    if (op.hasKernelForDispatchKey(device)) replaced = op.getComputedKernelForDispatchKey(device);
    ours = c10::KernelFunction::makeFromUnboxedRuntimeFunction(function);
    library.impl(name, torch::dispatch(device, torch::CppFunction::makeFromBoxedFunction<&call>()));
  }
};

template <auto function>
void put(torch::Library& library, const char* name, const char* needed) {
  Kernel<function, DispatchKey::CPU>::put(library, name, needed);
  Kernel<function, DispatchKey::CUDA>::put(library, name, needed);
}

void put_all() {
  // That a kernel is replaced is what was asked for.
  class : public c10::WarningHandler {
    void process(const c10::Warning&) override {}
  } silent;
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
  static torch::Library* const library =
      new torch::Library(torch::Library::IMPL, "torchvision", std::nullopt, __FILE__, __LINE__);  // for ever
  put<&nms>(*library, "nms", "roibench::nms");
  put<&roi_align>(*library, "roi_align", "roibench::roi_align");
  put<&roi_align_backward>(*library, "_roi_align_backward", "roibench::roi_align_backward");
  put<&roi_pool>(*library, "roi_pool", "roibench::roi_pool");
  put<&roi_pool_backward>(*library, "_roi_pool_backward", "roibench::max_pool_backward");
  put<&ps_roi_pool>(*library, "ps_roi_pool", "roibench::ps_roi_pool");
  put<&ps_roi_pool_backward>(*library, "_ps_roi_pool_backward", "roibench::ps_roi_pool_backward");
}

}  // namespace

void open_torchvision() {
  static std::once_flag once;
  std::call_once(once, put_all);
  ++open_calls;
}

void close_torchvision() {
  --open_calls;
}

}  // namespace roibench
