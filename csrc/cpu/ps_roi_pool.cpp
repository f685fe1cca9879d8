#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "../layout.h"
#include "windows.h"

namespace roibench {
namespace {

using at::MemoryFormat;

// torchvision's: the last row and the last column of a map are in no bin.
void set_rois(WindowTable& table, const char* op, const at::Tensor& rois, double scale, at::IntArrayRef size) {
  table.set_rois(op, rois, scale, size[0], /*last=*/0, std::max<int64_t>(size[2] - 1, 0),
                 std::max<int64_t>(size[3] - 1, 0));
}

at::Tensor ps_roi_pool(const at::Tensor& input, const at::Tensor& rois, double spatial_scale, int64_t pooled_height,
                       int64_t pooled_width) {
  constexpr const char* op = "ps_roi_pool";
  check_map(op, input);
  check_rois(op, rois, input);
  check_output_size(op, pooled_height, pooled_width);
  TORCH_CHECK_VALUE(input.size(1) % (pooled_height * pooled_width) == 0, op,
                    ": input's channels must be a multiple of output_size's ", pooled_height, " * ", pooled_width,
                    " bins, got ", input.size(1));
  const auto dtype = arithmetic(input, input);
  const int64_t channels = input.size(1) / (pooled_height * pooled_width);
  at::Tensor pooled = at::empty({rois.size(0), channels, pooled_height, pooled_width}, input.options().dtype(dtype));
  WindowTable table(input.sizes(), {{pooled_height, pooled_width}}, rois.size(0));
  set_rois(table, op, as(rois, dtype, MemoryFormat::Contiguous), spatial_scale, input.sizes());
  if (pooled.numel() != 0) {
    const bool channels_last = is_channels_last(input);
    const at::Tensor map = as(input, dtype, format(channels_last));
    const auto run = [&]<class T>(T) {
      const T* const from = map.const_data_ptr<T>();
      T* const to = pooled.mutable_data_ptr<T>();
      at::parallel_for(0, table.windows.bins, grain(8 * channels * table.count()), [&](int64_t begin, int64_t end) {
        kernels<T>().ps_roi_pool(table.windows, table.count(), channels_last, from, to, begin, end);
      });
    };
    dtype == at::kDouble ? run(double()) : run(float());
  }
  return pooled.to(input.scalar_type());
}

at::Tensor ps_roi_pool_backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                                double spatial_scale, bool channels_last) {
  constexpr const char* op = "ps_roi_pool_backward";
  TORCH_CHECK_VALUE(input_size.size() == 4, op, ": input_size must be (N, C, H, W), got ", input_size);
  check_floating(op, "grad", grad);
  check_rois(op, rois, grad);
  TORCH_CHECK_VALUE(
      grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(1) * grad.size(2) * grad.size(3) == input_size[1],
      op, ": grad must have the shape [K, c, height, width] with K = ", rois.size(0),
      " and c * height * width = ", input_size[1], ", got ", grad.sizes());
  const auto dtype = arithmetic(grad, grad);
  at::Tensor input_grad = at::zeros(input_size, grad.options().dtype(dtype)).contiguous(format(channels_last));
  WindowTable table(input_size, {{grad.size(2), grad.size(3)}}, rois.size(0));
  set_rois(table, op, as(rois, dtype, MemoryFormat::Contiguous), spatial_scale, input_size);
  if (grad.numel() != 0 && input_grad.numel() != 0) {
    const at::Tensor pooled_grad = as(grad, dtype, MemoryFormat::Contiguous);
    const auto run = [&]<class T>(T) {
      const T* const from = pooled_grad.const_data_ptr<T>();
      T* const to = input_grad.mutable_data_ptr<T>();
      at::parallel_for(0, table.windows.bins, grain(8 * grad.size(1) * table.count()), [&](int64_t begin, int64_t end) {
        kernels<T>().ps_roi_pool_backward(table.windows, table.count(), channels_last, from, to, begin, end);
      });
    };
    dtype == at::kDouble ? run(double()) : run(float());
  }
  return input_grad.to(grad.scalar_type());
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("ps_roi_pool", &ps_roi_pool);
  m.impl("ps_roi_pool_backward", &ps_roi_pool_backward);
}

}  // namespace roibench
