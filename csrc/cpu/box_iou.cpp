#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <tuple>

#include "../checks.h"
#include "kernels.h"
#include "parallel.h"

namespace roibench {
namespace {

constexpr int64_t kPairCost = 16;  // operations, roughly

template <class T>
void forward(IouKind kind, const at::Tensor& boxes1, const at::Tensor& boxes2, bool elementwise, at::Tensor& out) {
  const int64_t n = boxes1.size(0), m = boxes2.size(0);
  const T* const a = boxes1.const_data_ptr<T>();
  const T* const b = boxes2.const_data_ptr<T>();
  T* const to = out.mutable_data_ptr<T>();
  if (elementwise) {
    at::parallel_for(0, n, grain(kPairCost),
                     [&](int64_t begin, int64_t end) { kernels<T>().box_iou_elementwise(kind, a, b, to, begin, end); });
    return;
  }
  const at::Tensor memory = at::empty({BoxColumns<T>::columns * m}, out.options());
  const auto columns = BoxColumns<T>::in(memory.mutable_data_ptr<T>(), m);
  kernels<T>().measure(kind, b, columns, 0, m);
  at::parallel_for(0, n, grain(m * kPairCost),
                   [&](int64_t begin, int64_t end) { kernels<T>().box_iou(kind, a, columns, m, to, begin, end); });
}

at::Tensor box_iou(const at::Tensor& boxes1, const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou", boxes1, boxes2, kind, elementwise);
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
  if (elementwise) {
    at::parallel_for(0, n, grain(4 * kPairCost), [&](int64_t begin, int64_t end) {
      kernels<T>().box_iou_elementwise_backward(kind, a, b, d, to1, to2, begin, end);
    });
    return;
  }
  at::parallel_for(0, n, grain(4 * m * kPairCost), [&](int64_t begin, int64_t end) {
    kernels<T>().box_iou_backward(kind, a, b, m, d, m, 1, to1, begin, end);
  });
  at::parallel_for(0, m, grain(4 * n * kPairCost), [&](int64_t begin, int64_t end) {
    kernels<T>().box_iou_backward(kind, b, a, n, d, 1, m, to2, begin, end);
  });
}

std::tuple<at::Tensor, at::Tensor> box_iou_backward(const at::Tensor& grad, const at::Tensor& boxes1,
                                                    const at::Tensor& boxes2, c10::string_view kind, bool elementwise) {
  const IouKind which = check_box_iou("box_iou_backward", boxes1, boxes2, kind, elementwise);
  check_box_iou_grad(grad, boxes1, boxes2, elementwise);
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

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("box_iou", &box_iou);
  m.impl("box_iou_backward", &box_iou_backward);
}

}  // namespace roibench
