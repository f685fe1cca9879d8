// RoI align is linear in its input, so that the derivative of its backward is its forward.
#include "function.h"

namespace roibench {
namespace {

const auto& forward_op() {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt, int64_t, bool)>(
      "roibench::roi_align");
  return op;
}
const auto& backward_op() {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, c10::SymIntArrayRef, double, int64_t, bool, bool)>(
      "roibench::roi_align_backward");
  return op;
}

struct RoiAlign : Function<RoiAlign> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& rois, double spatial_scale,
                        const c10::SymInt& pooled_height, const c10::SymInt& pooled_width, int64_t sampling_ratio,
                        bool aligned) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({rois});
    ctx->saved_data["input_size"] = input.sym_sizes();
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["sampling_ratio"] = sampling_ratio;
    ctx->saved_data["aligned"] = aligned;
    ctx->saved_data["channels_last"] = input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
    return forward_op().call(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor rois = ctx->get_saved_variables()[0];
    const Tensor grad =
        backward_op().call(grads[0], rois, ctx->saved_data["input_size"].toSymIntVector(),
                           ctx->saved_data["spatial_scale"].toDouble(), ctx->saved_data["sampling_ratio"].toInt(),
                           ctx->saved_data["aligned"].toBool(), ctx->saved_data["channels_last"].toBool());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct RoiAlignBackward : Function<RoiAlignBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size,
                        double spatial_scale, int64_t sampling_ratio, bool aligned, bool channels_last) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({rois});
    ctx->saved_data["pooled_height"] = grad.sym_size(2);
    ctx->saved_data["pooled_width"] = grad.sym_size(3);
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["sampling_ratio"] = sampling_ratio;
    ctx->saved_data["aligned"] = aligned;
    return backward_op().call(grad, rois, input_size, spatial_scale, sampling_ratio, aligned, channels_last);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor rois = ctx->get_saved_variables()[0];
    const Tensor grad =
        forward_op().call(grads[0], rois, ctx->saved_data["spatial_scale"].toDouble(),
                          ctx->saved_data["pooled_height"].toSymInt(), ctx->saved_data["pooled_width"].toSymInt(),
                          ctx->saved_data["sampling_ratio"].toInt(), ctx->saved_data["aligned"].toBool());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor roi_align(const Tensor& input, const Tensor& rois, double spatial_scale, c10::SymInt pooled_height,
                 c10::SymInt pooled_width, int64_t sampling_ratio, bool aligned) {
  refuse_tangent("roi_align", "rois", rois);
  return apply_linear<RoiAlign>(forward_op(), input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio,
                                aligned);
}

Tensor roi_align_backward(const Tensor& grad, const Tensor& rois, c10::SymIntArrayRef input_size, double spatial_scale,
                          int64_t sampling_ratio, bool aligned, bool channels_last) {
  refuse_tangent("roi_align_backward", "rois", rois);
  return apply_linear<RoiAlignBackward>(backward_op(), grad, rois, input_size, spatial_scale, sampling_ratio, aligned,
                                        channels_last);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("roi_align", &roi_align);
  m.impl("roi_align_backward", &roi_align_backward);
}

}  // namespace roibench
