// PS-RoI pooling is linear in its input, so that the derivative of its backward is its forward.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace roibench {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

Tensor ps_roi_pool(const Tensor& input, const Tensor& rois, double spatial_scale, c10::SymInt pooled_height,
                   c10::SymInt pooled_width);
Tensor ps_roi_pool_backward(const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size,
                            double spatial_scale, bool channels_last);

struct PsRoiPool : Function<PsRoiPool> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& rois, double spatial_scale,
                        const c10::SymInt& pooled_height, const c10::SymInt& pooled_width) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({rois});
    ctx->saved_data["input_size"] = input.sym_sizes();
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["channels_last"] = input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("roibench::ps_roi_pool", "")
                               .typed<Tensor(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt)>();
    return op.call(input, rois, spatial_scale, pooled_height, pooled_width);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor grad =
        ps_roi_pool_backward(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["input_size"].toSymIntVector(),
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
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("roibench::ps_roi_pool_backward", "")
                               .typed<Tensor(const Tensor&, const Tensor&, c10::SymIntArrayRef, double, bool)>();
    return op.call(grad, rois, input_size, spatial_scale, channels_last);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor grad =
        ps_roi_pool(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["spatial_scale"].toDouble(),
                    ctx->saved_data["pooled_height"].toSymInt(), ctx->saved_data["pooled_width"].toSymInt());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor ps_roi_pool(const Tensor& input, const Tensor& rois, double spatial_scale, c10::SymInt pooled_height,
                   c10::SymInt pooled_width) {
  return PsRoiPool::apply(input, rois, spatial_scale, pooled_height, pooled_width);
}

Tensor ps_roi_pool_backward(const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size,
                            double spatial_scale, bool channels_last) {
  return PsRoiPoolBackward::apply(grad, rois, input_size, spatial_scale, channels_last);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("ps_roi_pool", &ps_roi_pool);
  m.impl("ps_roi_pool_backward", &ps_roi_pool_backward);
}

}  // namespace roibench
