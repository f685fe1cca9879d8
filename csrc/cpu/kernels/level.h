// The kernels of one SIMD level, and their table. Included by cpu/simd_*.cpp after their target pragma, and only there:
// ROIBENCH_LEVEL names the level, kVectorBytes its registers' width.
// Standard headers are included above the pragma, and none of their templates is used below it: a template
// instantiated here would be one symbol for all levels, and the linker could choose the one that this machine lacks.
namespace roibench::ROIBENCH_LEVEL {

constexpr int kVectorBytes = ROIBENCH_VECTOR_BYTES;

#include "memory.h"
#include "vector.h"

#include "box_iou.h"
#include "exponential.h"
#include "half.h"
#include "nms.h"
#include "sigmoid_focal_loss.h"
#include "soft_nms.h"
#include "transpose.h"

#include "bins.h"
#include "max_pool.h"
#include "ps_roi_pool.h"
#include "roi_align.h"

template <class T>
constexpr Kernels<T> table = {
    measure<T>,
    box_iou<T>,
    box_iou_elementwise<T>,
    box_iou_backward<T>,
    box_iou_elementwise_backward<T>,
    nms<T>,
    soft_nms<T>,
    transpose<T>,
    roi_align<T>,
    roi_align_backward<T>,
    roi_bins<T>,
    max_pool_backward<T>,
    ps_roi_pool<T>,
    ps_roi_pool_backward<T>,
    focal_loss<T>,
    focal_loss_derivative<T>,
    sum_by_halves<T>,
};

template <class I>
constexpr OrderKernels<I> order_table = {to_order<I>, max_pool<I>};

constexpr HalfKernels half_table = {widen, narrow};

}  // namespace roibench::ROIBENCH_LEVEL
