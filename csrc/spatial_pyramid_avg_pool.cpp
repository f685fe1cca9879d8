#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <torch/library.h>

#include "dispatch/max_pool.h"

namespace roibench {
namespace {

// The mean has no argmax to save and ATen's derivatives: levels one by one, on any device.
at::Tensor spatial_pyramid_avg_pool(const at::Tensor& input, at::IntArrayRef levels) {
  constexpr const char* op = "spatial_pyramid_avg_pool";
  check_map(op, input);
  const Pooling pooling = {op, {}, check_levels(op, levels), at::Tensor()};
  if (input.sym_numel() == 0) {  // the sum of nothing is 0, and has a gradient
    return input.sum().to(input.scalar_type()).expand_symint({input.sym_size(0), input.sym_size(1) * pooling.bins()});
  }
  std::vector<at::Tensor> pooled;
  for (const int64_t level : levels) pooled.push_back(at::adaptive_avg_pool2d(input, {level, level}).flatten(1));
  return at::cat(pooled, 1);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CompositeImplicitAutograd, m) {
  m.impl("spatial_pyramid_avg_pool", &spatial_pyramid_avg_pool);
}

}  // namespace roibench
