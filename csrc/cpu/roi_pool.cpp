#include <torch/library.h>

#include "../layout.h"
#include "max_pool.h"

namespace roibench {
namespace {

std::tuple<at::Tensor, at::Tensor> roi_pool(const at::Tensor& input, const at::Tensor& rois, double spatial_scale,
                                            int64_t pooled_height, int64_t pooled_width, bool with_argmax) {
  check_map("roi_pool", input);
  check_rois("roi_pool", rois, input);
  check_output_size("roi_pool", pooled_height, pooled_width);
  return max_pool_rois("roi_pool", input, rois, spatial_scale, {{pooled_height, pooled_width}},
                       {rois.size(0), input.size(1), pooled_height, pooled_width}, is_channels_last(input),
                       with_argmax);
}

}  // namespace

TORCH_LIBRARY_IMPL(roibench, CPU, m) {
  m.impl("roi_pool", &roi_pool);
}

}  // namespace roibench
