// PS-RoI pooling is linear in its input, so that the derivative of its backward is its forward. By RoIs, whose corners
// are rounded, the derivative is 0.
#include "function.h"

namespace roibench {
namespace {

const auto& forward_op() {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt)>("roibench::ps_roi_pool");
  return op;
}
const auto& backward_op() {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, c10::SymIntArrayRef, double, bool)>("roibench::ps_roi_pool_backward");
  return op;
}

struct PsRoiPool : Function<PsRoiPool> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& rois, double spatial_scale,
                        const c10::SymInt& pooled_height, const c10::SymInt& pooled_width) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({rois});
    ctx->saved_data["input_size"] = input.sym_sizes();
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["channels_last"] = input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
    return forward_op().call(input, rois, spatial_scale, pooled_height, pooled_width);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor grad =
        backward_op().call(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["input_size"].toSymIntVector(),
                           ctx->saved_data["spatial_scale"].toDouble(), ctx->saved_data["channels_last"].toBool());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct PsRoiPoolBackward : Function<PsRoiPoolBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size,
                        double spatial_scale, bool channels_last) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({rois});
    ctx->saved_data["pooled_height"] = grad.sym_size(2);
    ctx->saved_data["pooled_width"] = grad.sym_size(3);
    ctx->saved_data["spatial_scale"] = spatial_scale;
    return backward_op().call(grad, rois, input_size, spatial_scale, channels_last);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor grad =
        forward_op().call(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["spatial_scale"].toDouble(),
                          ctx->saved_data["pooled_height"].toSymInt(), ctx->saved_data["pooled_width"].toSymInt());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor ps_roi_pool(const Tensor& input, const Tensor& rois, double spatial_scale, c10::SymInt pooled_height,
                   c10::SymInt pooled_width) {
  return apply_linear<PsRoiPool>(forward_op(), input, primal(rois), spatial_scale, pooled_height, pooled_width);
}

Tensor ps_roi_pool_backward(const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size,
                            double spatial_scale, bool channels_last) {
  return apply_linear<PsRoiPoolBackward>(backward_op(), grad, primal(rois), input_size, spatial_scale, channels_last);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("ps_roi_pool", &ps_roi_pool);
  m.impl("ps_roi_pool_backward", &ps_roi_pool_backward);
}

}  // namespace roibench
