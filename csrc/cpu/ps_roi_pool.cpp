#include "../dispatch/ps_roi_pool.h"

#include <ATen/OpMathType.h>
#include <torch/library.h>

#include "windows.h"

namespace roibench {
namespace {

struct Cpu {
  template <class S>
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& rois, double scale,
                            at::IntArrayRef pooled_size) {
    using T = at::opmath_type<S>;
    const WindowTable table = windows(input.sizes(), pooled_size, rois, scale);
    const bool channels_last = is_channels_last(input);
    const at::Tensor map = as(input, rois.scalar_type(), format(channels_last));
    at::Tensor pooled = at::empty(pooled_size, rois.options());
    const T* const from = map.const_data_ptr<T>();
    T* const to = pooled.mutable_data_ptr<T>();
    at::parallel_for(0, table.windows.bins, grain(8 * pooled_size[1] * table.count()), [&](int64_t begin, int64_t end) {
      kernels<T>().ps_roi_pool(table.windows, table.count(), channels_last, from, to, begin, end);
    });
    return pooled;
  }

  template <class T>
  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size, double scale,
                             bool channels_last) {
    const WindowTable table = windows(input_size, grad.sizes(), rois, scale);
    at::Tensor input_grad = zeros(input_size, grad.options(), format(channels_last));
    const T* const from = grad.const_data_ptr<T>();
    T* const to = input_grad.mutable_data_ptr<T>();
    at::parallel_for(0, table.windows.bins, grain(8 * grad.size(1) * table.count()), [&](int64_t begin, int64_t end) {
      kernels<T>().ps_roi_pool_backward(table.windows, table.count(), channels_last, from, to, begin, end);
    });
    return input_grad;
  }

 private:
  static WindowTable windows(at::IntArrayRef input_size, at::IntArrayRef pooled_size, const at::Tensor& rois,
                             double scale) {
    return WindowTable(input_size, {pooled_size[2], pooled_size[3]}, rois, scale, /*last=*/0, ps_extent(input_size[2]),
                       ps_extent(input_size[3]));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("ps_roi_pool", &ps_roi_pool<Cpu>);
  m.impl("ps_roi_pool_backward", &ps_roi_pool_backward<Cpu>);
}

}  // namespace roibench
