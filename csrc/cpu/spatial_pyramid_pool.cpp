#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <torch/library.h>

#include "max_pool.h"

namespace roibench {
namespace {

constexpr int64_t kMostBins = 1 << 15;  // per axis: more than any map has pixels

std::vector<Grid> check_levels(const char* op, at::IntArrayRef levels) {
  TORCH_CHECK_VALUE(!levels.empty(), op, ": levels must hold at least one, got none");
  std::vector<Grid> grids;
  for (const int64_t bins : levels) {
    TORCH_CHECK_VALUE(bins > 0 && bins <= kMostBins, op, ": levels must be from 1 to ", kMostBins, ", got ", levels);
    grids.push_back({bins, bins});
  }
  return grids;
}

int64_t bins(const std::vector<Grid>& grids) {
  int64_t sum = 0;
  for (const Grid& grid : grids) sum += grid.rows * grid.columns;
  return sum;
}

std::tuple<at::Tensor, at::Tensor> spatial_pyramid_pool(const at::Tensor& input, at::IntArrayRef levels,
                                                        bool with_argmax) {
  constexpr const char* op = "spatial_pyramid_pool";
  check_map(op, input);
  check_pixels(op, input);
  WindowTable table(input.sizes(), check_levels(op, levels), input.size(0));
  table.set_images();
  return max_pool(input, table, {input.size(0), input.size(1) * table.windows.bins}, /*channels_last=*/false,
                  with_argmax);
}

std::tuple<at::Tensor, at::Tensor> roi_spatial_pyramid_pool(const at::Tensor& input, const at::Tensor& rois,
                                                            at::IntArrayRef levels, double spatial_scale,
                                                            bool with_argmax) {
  constexpr const char* op = "roi_spatial_pyramid_pool";
  check_map(op, input);
  check_rois(op, rois, input);
  const std::vector<Grid> grids = check_levels(op, levels);
  return max_pool_rois(op, input, rois, spatial_scale, grids, {rois.size(0), input.size(1) * bins(grids)},
                       /*channels_last=*/false, with_argmax);
}

// The mean has no argmax to save and ATen's derivatives: levels one by one, on any device.
at::Tensor spatial_pyramid_avg_pool(const at::Tensor& input, at::IntArrayRef levels) {
  constexpr const char* op = "spatial_pyramid_avg_pool";
  check_map(op, input);
  const std::vector<Grid> grids = check_levels(op, levels);
  if (input.sym_numel() == 0) {  // the sum of nothing is 0, and has a gradient
    return input.sum().to(input.scalar_type()).expand_symint({input.sym_size(0), input.sym_size(1) * bins(grids)});
  }
  std::vector<at::Tensor> pooled;
  for (const int64_t level : levels) pooled.push_back(at::adaptive_avg_pool2d(input, {level, level}).flatten(1));
  return at::cat(pooled, 1);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CompositeImplicitAutograd, m) {
  m.impl("spatial_pyramid_avg_pool", &spatial_pyramid_avg_pool);
}

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("spatial_pyramid_pool", &spatial_pyramid_pool);
  m.impl("roi_spatial_pyramid_pool", &roi_spatial_pyramid_pool);
}

}  // namespace roibench
