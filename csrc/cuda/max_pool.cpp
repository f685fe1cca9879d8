#include "kernels/max_pool.h"

#include <ATen/Context.h>
#include <ATen/OpMathType.h>
#include <torch/library.h>

#include "../dispatch/max_pool.h"
#include "numbers.h"
#include "windows.h"

namespace roibench {
namespace {

using cuda::check_launch, cuda::current_stream, cuda::WindowTables;

// RoIs are cut as roi_pool cuts them, the last pixel belongs to the RoI.
WindowTables windows_of(const Pooling& pooling, bool channels_last, at::TensorOptions options) {
  const auto [height, width] = std::pair(pooling.size[2], pooling.size[3]);
  if (pooling.rois.defined()) {
    return cuda::windows_of_rois(pooling.op, pooling.size, channels_last, pooling.grids, pooling.rois, pooling.scale,
                                 /*last=*/1, height, width);
  }
  return WindowTables(pooling.op, pooling.size, channels_last, pooling.grids, pooling.windows(), options,
                      [](const cuda::Windows& windows, int g, const cuda::GridOfBins& grid) {
                        return cuda::grid_of_maps(windows, g, grid, current_stream());
                      });
}

// How large RoIs are, only the device knows: feature pyramids are made for some 20 x 20 pixels.
cuda::BinsAre bins_of(const Pooling& pooling) {
  constexpr int64_t kPixelsOfRoi = 400, kPixelsOfLargeBin = 16;
  const std::vector<Grid>& grids = pooling.grids;
  const auto halves = [&](int64_t bins) {
    return std::all_of(grids.begin(), grids.end(), [&](const Grid& grid) {
      const bool next = bins > 0 && grid.rows == bins && grid.columns == bins;
      bins /= 2;
      return next;
    });
  };
  if (pooling.rois.defined() && grids.size() > 1) {
    if (halves(4)) return cuda::BinsAre::halved_from_4;
    if (halves(2)) return cuda::BinsAre::halved_from_2;
  }
  const int64_t pixels = pooling.size[2] * pooling.size[3];
  const int64_t of_window = pooling.rois.defined() ? std::min(pixels, kPixelsOfRoi) : pixels;
  const bool large = of_window * int64_t(grids.size()) >= kPixelsOfLargeBin * pooling.bins();
  return large ? cuda::BinsAre::large : cuda::BinsAre::small;
}

struct Cuda {
  template <class I>
  static void forward(const Pooling& pooling, const at::Tensor& input, I infinity, bool pooled_channels_last,
                      at::Tensor& pooled, at::Tensor& argmax) {
    const bool channels_last = is_channels_last(input);
    const at::Tensor map = cuda::aligned(channels_last ? input : input.contiguous());
    const WindowTables windows = windows_of(pooling, channels_last, input.options());
    check_launch(cuda::max_pool(*windows, bins_of(pooling), infinity, static_cast<const I*>(map.const_data_ptr()),
                                pooled_channels_last, static_cast<I*>(pooled.mutable_data_ptr()),
                                argmax.numel() == 0 ? nullptr : argmax.mutable_data_ptr<int32_t>(), current_stream()));
  }

  template <class T>
  static at::Tensor backward(const Pooling& pooling, const at::Tensor& grad, bool grad_channels_last,
                             const at::Tensor& argmax, bool channels_last) {
    const bool deterministic = at::globalContext().deterministicAlgorithms();
    const bool side_by_side = channels_last || deterministic;
    const auto type = c10::CppTypeToScalarType<T>::value;
    const WindowTables windows = windows_of(pooling, side_by_side, grad.options());
    const int32_t* const at = argmax.const_data_ptr<int32_t>();
    at::Tensor input_grad = at::empty(pooling.size, grad.options().dtype(type).memory_format(format(side_by_side)));
    T* const to = input_grad.mutable_data_ptr<T>();
    if (deterministic) {
      const at::Tensor wide = as(grad, type, format(grad_channels_last));
      check_launch(cuda::max_pool_backward_deterministic(*windows, wide.const_data_ptr<T>(), grad_channels_last, at, to,
                                                         current_stream()));
    } else {
      input_grad.zero_();
      AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, grad.scalar_type(), "max_pool_backward", [&] {
        if constexpr (std::is_same_v<at::opmath_type<scalar_t>, T>) {
          check_launch(cuda::max_pool_backward(*windows, cuda::const_data<scalar_t>(grad), grad_channels_last, at, to,
                                               current_stream()));
        }
      });
    }
    return input_grad;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("roi_pool", &roi_pool<Cuda>);
  m.impl("spatial_pyramid_pool", &spatial_pyramid_pool<Cuda>);
  m.impl("roi_spatial_pyramid_pool", &roi_spatial_pyramid_pool<Cuda>);
  m.impl("max_pool_backward", &max_pool_backward<Cuda>);
}

}  // namespace roibench
