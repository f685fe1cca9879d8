#include "../dispatch/box_iou.h"

#include <torch/library.h>

#include "kernels.h"
#include "parallel.h"

namespace roibench {
namespace {

constexpr int64_t kPairCost = 16;  // operations, roughly

struct Cpu {
  template <class T>
  static void forward(IouKind kind, const at::Tensor& boxes1, const at::Tensor& boxes2, bool elementwise,
                      at::Tensor& out) {
    const int64_t n = boxes1.size(0), m = boxes2.size(0);
    const T* const a = boxes1.const_data_ptr<T>();
    const T* const b = boxes2.const_data_ptr<T>();
    T* const to = out.mutable_data_ptr<T>();
    if (elementwise) {
      at::parallel_for(0, n, grain(kPairCost), [&](int64_t begin, int64_t end) {
        kernels<T>().box_iou_elementwise(kind, a, b, to, begin, end);
      });
      return;
    }
    const at::Tensor memory = at::empty({BoxColumns<T>::columns * m}, out.options());
    const auto columns = BoxColumns<T>::in(memory.mutable_data_ptr<T>(), m);
    kernels<T>().measure(kind, b, columns, 0, m);
    at::parallel_for(0, n, grain(m * kPairCost),
                     [&](int64_t begin, int64_t end) { kernels<T>().box_iou(kind, a, columns, m, to, begin, end); });
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
};

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("box_iou", &box_iou<Cpu>);
  m.impl("box_iou_backward", &box_iou_backward<Cpu>);
}

}  // namespace roibench
