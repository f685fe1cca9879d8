// Every operator of torch.ops.roibench, in one table. Boxes are (x1, y1, x2, y2); RoIs are (batch index, x1, y1, x2,
// y2). What the arguments mean stands with the Python functions (bench/roibench/ops).
#include <torch/library.h>

TORCH_LIBRARY(roibench, m) {
  m.def("box_iou(Tensor boxes1, Tensor boxes2, str kind='iou', bool elementwise=False) -> Tensor");
  m.def("box_iou_backward(Tensor grad, Tensor boxes1, Tensor boxes2, str kind, bool elementwise) -> (Tensor, Tensor)");

  m.def("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor");
  m.def("batched_nms(Tensor boxes, Tensor scores, Tensor idxs, float iou_threshold) -> Tensor");
  m.def(
      "soft_nms(Tensor boxes, Tensor scores, str method='linear', float iou_threshold=0.3, float sigma=0.5, "
      "float score_threshold=0.001) -> (Tensor, Tensor)");

  m.def(
      "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
      "int sampling_ratio, bool aligned) -> Tensor");
  // The gradient for an input of input_size, in channels-last memory if so asked.
  m.def(
      "roi_align_backward(Tensor grad, Tensor rois, SymInt[4] input_size, float spatial_scale, int sampling_ratio, "
      "bool aligned, bool channels_last) -> Tensor");

  // Max pooling returns its argmax on request, else nothing in its place: [K, bins, C] int32, the pixel y * W + x that
  // each number came from, or -1 for an empty bin.
  m.def(
      "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
      "bool with_argmax=False) -> (Tensor, Tensor)");
  m.def("spatial_pyramid_pool(Tensor input, int[] levels, bool with_argmax=False) -> (Tensor, Tensor)");
  m.def("spatial_pyramid_avg_pool(Tensor input, int[] levels) -> Tensor");
  m.def(
      "roi_spatial_pyramid_pool(Tensor input, Tensor rois, int[] levels, float spatial_scale, "
      "bool with_argmax=False) -> (Tensor, Tensor)");
  // Of all three. Without rois, the windows are the images. grids: rows and columns of each level.
  m.def(
      "max_pool_backward(Tensor grad, Tensor argmax, Tensor? rois, float spatial_scale, SymInt[4] input_size, "
      "SymInt[] grids, bool channels_last) -> Tensor");

  m.def(
      "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
      "-> Tensor");
  m.def(
      "ps_roi_pool_backward(Tensor grad, Tensor rois, SymInt[4] input_size, float spatial_scale, "
      "bool channels_last) -> Tensor");

  m.def(
      "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, "
      "SymInt[2] output_padding=0, SymInt groups=1, SymInt[2] dilation=1) -> Tensor");

  m.def(
      "sigmoid_focal_loss(Tensor inputs, Tensor targets, float alpha=0.25, float gamma=2.0, str reduction='none') "
      "-> Tensor");
  // grad * the first or second derivative of the unreduced loss by inputs.
  m.def(
      "sigmoid_focal_loss_backward(Tensor grad, Tensor inputs, Tensor targets, float alpha, float gamma, int order) "
      "-> Tensor");
}
