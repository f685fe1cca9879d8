#include "kernels/roi_align.h"

#include <ATen/Context.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "../dispatch/roi_align.h"
#include "feature_map.h"
#include "numbers.h"
#include "stream.h"

namespace roibench {
namespace {

using cuda::RoiAlignShape, cuda::RoiAlignTaps, cuda::check_launch, cuda::current_stream;

template <class T>
RoiAlignShape<T> shape_of(const char* op, at::IntArrayRef input_size, at::IntArrayRef pooled_size, bool channels_last,
                          const RoiAlignSampling& sampling) {
  const int64_t rows = pooled_size[2], columns = pooled_size[3];
  return {cuda::feature_map(op, input_size, channels_last, rows * columns),
          int(rows),
          int(columns),
          sampling.aligned,
          sampling.ratio,
          T(sampling.spatial_scale)};
}

// What each bin of each RoI takes, and the memory that it lies in.
template <class T>
struct Taps {
  at::Tensor memory;
  RoiAlignTaps<T> taps;

  Taps(const RoiAlignShape<T>& shape, const at::Tensor& rois)
      : memory(at::empty({RoiAlignTaps<T>::bytes(shape, rois.size(0))}, rois.options().dtype(at::kByte))),
        taps(RoiAlignTaps<T>::in(memory.mutable_data_ptr(), shape, rois.size(0))) {
    check_launch(cuda::roi_align_taps(shape, rois.const_data_ptr<T>(), rois.size(0), taps, current_stream()));
  }
};

struct Cuda {
  template <class S>
  static void forward(const at::Tensor& input, const at::Tensor& rois, const RoiAlignSampling& sampling,
                      at::Tensor& pooled) {
    using T = at::opmath_type<S>;
    const bool channels_last = is_channels_last(input);
    const at::Tensor map = cuda::aligned(channels_last ? input : input.contiguous());
    const auto shape = shape_of<T>("roi_align", input.sizes(), pooled.sizes(), channels_last, sampling);
    const Taps<T> bins(shape, rois);
    check_launch(cuda::roi_align(shape, bins.taps, rois.size(0), cuda::const_data<S>(map),
                                 cuda::mutable_data<S>(pooled), current_stream()));
  }

  template <class T>
  static at::Tensor backward(const at::Tensor& grad, const at::Tensor& rois, at::IntArrayRef input_size,
                             const RoiAlignSampling& sampling, bool channels_last) {
    const bool deterministic = at::globalContext().deterministicAlgorithms();
    const bool side_by_side = channels_last || deterministic;
    const auto shape = shape_of<T>("roi_align_backward", input_size, grad.sizes(), side_by_side, sampling);
    const auto dtype = deterministic ? rois.scalar_type() : grad.scalar_type();
    const at::Tensor pooled_grad = cuda::aligned(as(grad, dtype, format(side_by_side)));
    const Taps<T> bins(shape, rois);
    at::Tensor input_grad = at::empty(input_size, rois.options().memory_format(format(side_by_side)));
    T* const to = input_grad.mutable_data_ptr<T>();
    if (deterministic) {
      check_launch(cuda::roi_align_backward_deterministic(shape, bins.taps, rois.size(0),
                                                          pooled_grad.const_data_ptr<T>(), to, current_stream()));
    } else {
      input_grad.zero_();
      AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "roi_align_backward", [&] {
        if constexpr (std::is_same_v<at::opmath_type<scalar_t>, T>) {
          check_launch(cuda::roi_align_backward(shape, bins.taps, rois.size(0), cuda::const_data<scalar_t>(pooled_grad),
                                                to, current_stream()));
        }
      });
    }
    return input_grad;
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("roi_align", &roi_align<Cuda>);
  m.impl("roi_align_backward", &roi_align_backward<Cuda>);
}

}  // namespace roibench
