#include "../dispatch/box_iou.h"

#include <torch/library.h>

#include "kernels/box_iou.h"
#include "stream.h"

namespace roibench {
namespace {

struct Cuda {
  template <class T>
  static void forward(IouKind kind, const at::Tensor& boxes1, const at::Tensor& boxes2, bool elementwise,
                      at::Tensor& out) {
    const T* const a = boxes1.const_data_ptr<T>();
    const T* const b = boxes2.const_data_ptr<T>();
    T* const to = out.mutable_data_ptr<T>();
    const auto stream = cuda::current_stream();
    if (elementwise) {
      cuda::check_launch(cuda::box_iou_elementwise(kind, a, b, boxes1.size(0), to, stream));
    } else {
      cuda::check_launch(cuda::box_iou(kind, a, boxes1.size(0), b, boxes2.size(0), to, stream));
    }
  }

  template <class T>
  static void backward(IouKind kind, const at::Tensor& grad, const at::Tensor& boxes1, const at::Tensor& boxes2,
                       bool elementwise, at::Tensor& grad1, at::Tensor& grad2) {
    const int64_t n = boxes1.size(0), m = boxes2.size(0);
    const T* const a = boxes1.const_data_ptr<T>();
    const T* const b = boxes2.const_data_ptr<T>();
    const T* const d = grad.const_data_ptr<T>();
    T* const to1 = grad1.mutable_data_ptr<T>();
    T* const to2 = grad2.mutable_data_ptr<T>();
    const auto stream = cuda::current_stream();
    if (elementwise) {
      cuda::check_launch(cuda::box_iou_elementwise_backward(kind, a, b, n, d, to1, to2, stream));
    } else {
      cuda::check_launch(cuda::box_iou_backward(kind, a, n, b, m, d, m, 1, to1, stream));
      cuda::check_launch(cuda::box_iou_backward(kind, b, m, a, n, d, 1, m, to2, stream));
    }
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("box_iou", &box_iou<Cuda>);
  m.impl("box_iou_backward", &box_iou_backward<Cuda>);
}

}  // namespace roibench
