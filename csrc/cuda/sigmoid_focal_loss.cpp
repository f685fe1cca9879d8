#include "../dispatch/sigmoid_focal_loss.h"

#include <ATen/ceil_div.h>
#include <torch/library.h>

#include "kernels/sigmoid_focal_loss.h"
#include "numbers.h"
#include "stream.h"

namespace roibench {
namespace {

using cuda::aligned, cuda::const_data, cuda::mutable_data;

struct Cuda {
  template <class S, class T = at::opmath_type<S>>
  static void forward(const FocalLoss<T>& loss, const at::Tensor& inputs, const at::Tensor& targets, at::Tensor& out) {
    const at::Tensor x = aligned(inputs), t = aligned(targets);
    cuda::check_launch(cuda::focal_loss(loss, const_data<S>(x), const_data<S>(t), x.numel(), mutable_data<S>(out),
                                        cuda::current_stream()));
  }

  template <class S, class T = at::opmath_type<S>>
  static void reduce(const FocalLoss<T>& loss, bool mean, const at::Tensor& inputs, const at::Tensor& targets,
                     at::Tensor& out) {
    const at::Tensor x = aligned(inputs), t = aligned(targets);
    at::Tensor sums = at::empty({at::ceil_div(x.numel(), cuda::kFocalLossChunk)}, x.options().dtype(at::kDouble));
    cuda::check_launch(cuda::focal_loss_sum(loss, mean, const_data<S>(x), const_data<S>(t), x.numel(),
                                            sums.mutable_data_ptr<double>(), mutable_data<S>(out),
                                            cuda::current_stream()));
  }

  template <class S, class T = at::opmath_type<S>>
  static void backward(const FocalLoss<T>& loss, int64_t order, const at::Tensor& grad, bool one,
                       const at::Tensor& inputs, const at::Tensor& targets, at::Tensor& out) {
    const at::Tensor x = aligned(inputs), t = aligned(targets), d = one ? grad : aligned(grad);
    cuda::check_launch(cuda::focal_loss_derivative(
        loss, order, one ? nullptr : const_data<S>(d), one ? d.const_data_ptr<T>() : nullptr, const_data<S>(x),
        const_data<S>(t), x.numel(), mutable_data<S>(out), cuda::current_stream()));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("sigmoid_focal_loss", &sigmoid_focal_loss<Cuda>);
  m.impl("sigmoid_focal_loss_backward", &sigmoid_focal_loss_backward<Cuda>);
}

}  // namespace roibench
