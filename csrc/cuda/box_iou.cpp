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
    const at::Tensor a = cuda::aligned(boxes1), b = cuda::aligned(boxes2);
    const T* const from1 = a.const_data_ptr<T>();
    const T* const from2 = b.const_data_ptr<T>();
    T* const to = out.mutable_data_ptr<T>();
    const auto stream = cuda::current_stream();
    cuda::check_launch(elementwise ? cuda::box_iou_elementwise(kind, from1, from2, a.size(0), to, stream)
                                   : cuda::box_iou(kind, from1, a.size(0), from2, b.size(0), to, stream));
  }

  template <class T>
  static void backward(IouKind kind, const at::Tensor& grad, const at::Tensor& boxes1, const at::Tensor& boxes2,
                       bool elementwise, at::Tensor& grad1, at::Tensor& grad2) {
    const at::Tensor a = cuda::aligned(boxes1), b = cuda::aligned(boxes2);
    const T* const from1 = a.const_data_ptr<T>();
    const T* const from2 = b.const_data_ptr<T>();
    const T* const d = grad.const_data_ptr<T>();
    T* const to1 = grad1.mutable_data_ptr<T>();
    T* const to2 = grad2.mutable_data_ptr<T>();
    const auto stream = cuda::current_stream();
    cuda::check_launch(elementwise
                           ? cuda::box_iou_elementwise_backward(kind, from1, from2, a.size(0), d, to1, to2, stream)
                           : cuda::box_iou_backward(kind, from1, a.size(0), from2, b.size(0), d, to1, to2, stream));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("box_iou", &box_iou<Cuda>);
  m.impl("box_iou_backward", &box_iou_backward<Cuda>);
}

}  // namespace roibench
