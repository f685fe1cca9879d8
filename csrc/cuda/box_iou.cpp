#include "kernels/box_iou.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <tuple>

#include "../checks.h"

namespace roibench {
namespace {

void check_launch(int error) {
  C10_CUDA_CHECK(static_cast<cudaError_t>(error));
}

template <class T>
void forward(IouKind kind, const at::Tensor& boxes1, const at::Tensor& boxes2, bool elementwise, at::Tensor& out) {
  const T* const a = boxes1.const_data_ptr<T>();
  const T* const b = boxes2.const_data_ptr<T>();
  T* const to = out.mutable_data_ptr<T>();
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  if (elementwise) {
    check_launch(cuda::box_iou_elementwise(kind, a, b, boxes1.size(0), to, stream));
  } else {
    check_launch(cuda::box_iou(kind, a, boxes1.size(0), b, boxes2.size(0), to, stream));
  }
}

at::Tensor box_iou(const at::Tensor& boxes1, const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou", boxes1, boxes2, kind, elementwise);
  const c10::cuda::CUDAGuard guard(boxes1.device());
  const auto dtype = arithmetic(boxes1, boxes2);
  at::Tensor out = at::empty(box_iou_shape(boxes1, boxes2, elementwise), boxes1.options().dtype(dtype));
  if (out.numel() == 0) return out;
  const at::Tensor a = boxes1.to(dtype).contiguous(), b = boxes2.to(dtype).contiguous();
  if (dtype == at::kDouble) {
    forward<double>(which, a, b, elementwise, out);
  } else {
    forward<float>(which, a, b, elementwise, out);
  }
  return out;
}

template <class T>
void backward(IouKind kind, const at::Tensor& grad, const at::Tensor& boxes1, const at::Tensor& boxes2,
              bool elementwise, at::Tensor& grad1, at::Tensor& grad2) {
  const int64_t n = boxes1.size(0), m = boxes2.size(0);
  const T* const a = boxes1.const_data_ptr<T>();
  const T* const b = boxes2.const_data_ptr<T>();
  const T* const d = grad.const_data_ptr<T>();
  T* const to1 = grad1.mutable_data_ptr<T>();
  T* const to2 = grad2.mutable_data_ptr<T>();
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  if (elementwise) {
    check_launch(cuda::box_iou_elementwise_backward(kind, a, b, n, d, to1, to2, stream));
  } else {
    check_launch(cuda::box_iou_backward(kind, a, n, b, m, d, m, 1, to1, stream));
    check_launch(cuda::box_iou_backward(kind, b, m, a, n, d, 1, m, to2, stream));
  }
}

std::tuple<at::Tensor, at::Tensor> box_iou_backward(const at::Tensor& grad, const at::Tensor& boxes1,
                                                    const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou_backward", boxes1, boxes2, kind, elementwise);
  check_box_iou_grad(grad, boxes1, boxes2, elementwise);
  const c10::cuda::CUDAGuard guard(boxes1.device());
  const auto dtype = arithmetic(boxes1, boxes2);
  at::Tensor grad1 = at::zeros(boxes1.sizes(), boxes1.options().dtype(dtype));
  at::Tensor grad2 = at::zeros(boxes2.sizes(), boxes2.options().dtype(dtype));
  if (grad.numel() > 0) {
    const at::Tensor a = boxes1.to(dtype).contiguous(), b = boxes2.to(dtype).contiguous();
    const at::Tensor d = grad.to(dtype).contiguous();
    if (dtype == at::kDouble) {
      backward<double>(which, d, a, b, elementwise, grad1, grad2);
    } else {
      backward<float>(which, d, a, b, elementwise, grad1, grad2);
    }
  }
  return {grad1.to(boxes1.scalar_type()), grad2.to(boxes2.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CUDA, m) {
  m.impl("box_iou", &box_iou);
  m.impl("box_iou_backward", &box_iou_backward);
}

}  // namespace roibench
