#include "kernels/ps_roi_pool.h"

#include <ATen/Context.h>
#include <torch/library.h>

#include "../dispatch/ps_roi_pool.h"
#include "numbers.h"
#include "windows.h"

namespace roibench {
namespace {

using cuda::check_launch, cuda::current_stream, cuda::WindowTables;

WindowTables windows_of(const char* op, at::IntArrayRef input_size, bool channels_last, at::IntArrayRef pooled_size,
                        const at::Tensor& rois, double scale) {
  return cuda::windows_of_rois(op, input_size, channels_last, {{pooled_size[2], pooled_size[3]}}, rois, scale,
                               /*last=*/0, ps_extent(input_size[2]), ps_extent(input_size[3]));
}

struct Cuda {
  template <class S>
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& rois, double scale,
                            at::IntArrayRef pooled_size) {
    const bool channels_last = is_channels_last(input);
    const at::Tensor map = channels_last ? input : input.contiguous();
    const WindowTables windows = windows_of("ps_roi_pool", input.sizes(), channels_last, pooled_size, rois, scale);
    at::Tensor pooled = at::empty(pooled_size, input.options());
    check_launch(
        cuda::ps_roi_pool(*windows, cuda::const_data<S>(map), cuda::mutable_data<S>(pooled), current_stream()));
    return pooled;
  }

  template <class T>
  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size, double scale,
                             bool channels_last) {
    const WindowTables windows =
        windows_of("ps_roi_pool_backward", input_size, channels_last, grad.sizes(), rois, scale);
    const T* const from = grad.const_data_ptr<T>();
    at::Tensor input_grad = at::empty(input_size, grad.options().memory_format(format(channels_last)));
    T* const to = input_grad.mutable_data_ptr<T>();
    if (at::globalContext().deterministicAlgorithms()) {
      check_launch(cuda::ps_roi_pool_backward_deterministic(*windows, from, to, current_stream()));
    } else {
      input_grad.zero_();
      check_launch(cuda::ps_roi_pool_backward(*windows, from, to, current_stream()));
    }
    return input_grad;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("ps_roi_pool", &ps_roi_pool<Cuda>);
  m.impl("ps_roi_pool_backward", &ps_roi_pool_backward<Cuda>);
}

}  // namespace roibench
