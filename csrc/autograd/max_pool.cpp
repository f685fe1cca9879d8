// roi_pool and both pyramid poolings take the largest number of each bin. Their derivative is the same: the gradient
// goes to where the number came from. The derivative of that reads there.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/take.h>
#include <ATen/ops/zeros.h>

#include "function.h"

namespace roibench {
namespace {

using Pooled = std::tuple<Tensor, Tensor>;  // and argmax
using SymInts = std::vector<c10::SymInt>;

const auto& backward_op() {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, double,
                                     c10::SymIntArrayRef, c10::SymIntArrayRef, bool)>("roibench::max_pool_backward");
  return op;
}

std::optional<Tensor> without_tangent(const std::optional<Tensor>& t) {
  return t ? std::optional<Tensor>(primal(*t)) : std::nullopt;
}

// pool(input, rois, with_argmax) calls the operator below autograd.
template <class Pool>
struct MaxPool : Function<MaxPool<Pool>> {
  static variable_list forward(AutogradContext* ctx, const Tensor& input, const std::optional<Tensor>& rois,
                               double spatial_scale, const SymInts& grids, const Pool& pool) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [pooled, argmax] = pool(input, rois, true);
    ctx->save_for_backward({argmax, rois.value_or(Tensor())});
    ctx->mark_non_differentiable({argmax});
    ctx->saved_data["input_size"] = input.sym_sizes();
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["grids"] = grids;
    ctx->saved_data["channels_last"] = input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
    return {pooled, argmax};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const std::optional<Tensor> rois = saved[1].defined() ? std::optional<Tensor>(saved[1]) : std::nullopt;
    const Tensor grad =
        backward_op().call(grads[0], saved[0], rois, ctx->saved_data["spatial_scale"].toDouble(),
                           ctx->saved_data["input_size"].toSymIntVector(), ctx->saved_data["grids"].toSymIntVector(),
                           ctx->saved_data["channels_last"].toBool());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// The numbers of `map` that lie at argmax, and 0 for empty bins, in the layout of `pooled_size`.
Tensor pick(const Tensor& map, const Tensor& argmax, const std::optional<Tensor>& rois, const SymInts& grids,
            c10::SymIntArrayRef pooled_size) {
  if (map.sym_numel() == 0) return at::zeros_symint(pooled_size, map.options());
  SymInts bins;
  for (size_t i = 0; i < grids.size(); i += 2) bins.push_back(grids[i] * grids[i + 1]);
  const c10::Scalar pixels = map.sym_size(2) * map.sym_size(3), channels = map.sym_size(1);
  const auto whole = argmax.options().dtype(at::kLong);
  const Tensor image = rois ? rois->select(1, 0).to(at::kLong) : at::arange(c10::Scalar(map.sym_size(0)), whole);
  const Tensor plane = image.view({-1, 1, 1}) * channels + at::arange(channels, whole);
  const Tensor some = argmax.ge(0);  // where there is none, the RoI may lie on no image
  const Tensor picked = at::take(map.contiguous(), (plane * pixels + argmax).where(some, 0));
  std::vector<Tensor> levels;
  for (const Tensor& level : picked.where(some, 0).split_with_sizes_symint(bins, 1)) {
    levels.push_back(level.transpose(1, 2).reshape_symint({level.sym_size(0), level.sym_size(1) * level.sym_size(2)}));
  }
  return at::cat(levels, 1).view_symint(pooled_size);
}

// By RoIs, whose corners are rounded, the derivative is 0.
template <class Pool>
Pooled differentiable(const Tensor& input, const std::optional<Tensor>& rois, double spatial_scale,
                      const SymInts& grids, bool with_argmax, const Pool& pool) {
  const Tensor change = tangent(input);
  if (!change.defined() && !needs_graph(input)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return pool(input, rois, with_argmax);
  }
  const std::optional<Tensor> boxes = without_tangent(rois);
  const variable_list out = apply<MaxPool<Pool>>(needs_graph(input), primal(input), boxes, spatial_scale, grids, pool);
  if (change.defined()) set_tangent(out[0], pick(change, out[1], boxes, grids, out[0].sym_sizes()));
  return {out[0], with_argmax ? out[1] : out[1].new_empty({0})};
}

Pooled roi_pool(const Tensor& input, const Tensor& rois, double spatial_scale, c10::SymInt pooled_height,
                c10::SymInt pooled_width, bool with_argmax) {
  static const auto op =
      find<Pooled(const Tensor&, const Tensor&, double, c10::SymInt, c10::SymInt, bool)>("roibench::roi_pool");
  return differentiable(input, rois, spatial_scale, {pooled_height, pooled_width}, with_argmax,
                        [&](const Tensor& map, const std::optional<Tensor>& boxes, bool places) {
                          return op.call(map, *boxes, spatial_scale, pooled_height, pooled_width, places);
                        });
}

SymInts squares(at::IntArrayRef levels) {
  SymInts grids;
  for (const int64_t level : levels) grids.insert(grids.end(), 2, level);
  return grids;
}

Pooled spatial_pyramid_pool(const Tensor& input, at::IntArrayRef levels, bool with_argmax) {
  static const auto op = find<Pooled(const Tensor&, at::IntArrayRef, bool)>("roibench::spatial_pyramid_pool");
  return differentiable(
      input, std::nullopt, 1.0, squares(levels), with_argmax,
      [&](const Tensor& map, const std::optional<Tensor>&, bool places) { return op.call(map, levels, places); });
}

Pooled roi_spatial_pyramid_pool(const Tensor& input, const Tensor& rois, at::IntArrayRef levels, double spatial_scale,
                                bool with_argmax) {
  static const auto op =
      find<Pooled(const Tensor&, const Tensor&, at::IntArrayRef, double, bool)>("roibench::roi_spatial_pyramid_pool");
  return differentiable(input, rois, spatial_scale, squares(levels), with_argmax,
                        [&](const Tensor& map, const std::optional<Tensor>& boxes, bool places) {
                          return op.call(map, *boxes, levels, spatial_scale, places);
                        });
}

struct MaxPoolBackward : Function<MaxPoolBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad, const Tensor& argmax,
                        const std::optional<Tensor>& rois, double spatial_scale, c10::SymIntArrayRef input_size,
                        c10::SymIntArrayRef grids, bool channels_last) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({argmax, rois.value_or(Tensor())});
    ctx->saved_data["spatial_scale"] = spatial_scale;
    ctx->saved_data["grids"] = grids;
    ctx->saved_data["pooled_size"] = grad.sym_sizes();
    return backward_op().call(grad, argmax, rois, spatial_scale, input_size, grids, channels_last);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor grad =
        pick(grads[0], saved[0], saved[1].defined() ? std::optional<Tensor>(saved[1]) : std::nullopt,
             ctx->saved_data["grids"].toSymIntVector(), ctx->saved_data["pooled_size"].toSymIntVector());
    return {grad, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor max_pool_backward(const Tensor& grad, const Tensor& argmax, const std::optional<Tensor>& rois,
                         double spatial_scale, c10::SymIntArrayRef input_size, c10::SymIntArrayRef grids,
                         bool channels_last) {
  const std::optional<Tensor> boxes = without_tangent(rois);
  const Tensor out = apply<MaxPoolBackward>(needs_graph(grad), primal(grad), argmax, boxes, spatial_scale, input_size,
                                            grids, channels_last);
  if (const Tensor change = tangent(grad); change.defined()) {
    set_tangent(out, backward_op().call(change, argmax, boxes, spatial_scale, input_size, grids, channels_last));
  }
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, Autograd, m) {
  m.impl("roi_pool", &roi_pool);
  m.impl("spatial_pyramid_pool", &spatial_pyramid_pool);
  m.impl("roi_spatial_pyramid_pool", &roi_spatial_pyramid_pool);
  m.impl("max_pool_backward", &max_pool_backward);
}

}  // namespace roibench
