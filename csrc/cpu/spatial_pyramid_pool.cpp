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

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("spatial_pyramid_pool", &spatial_pyramid_pool);
  m.impl("roi_spatial_pyramid_pool", &roi_spatial_pyramid_pool);
}

}  // namespace roibench
