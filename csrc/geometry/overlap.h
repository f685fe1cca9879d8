// Boxes and the IoU family, for the host and for the device, with their derivatives. Written once: a CPU kernel, a CUDA
// kernel and their tests can only disagree about order of summation.
//
// Boxes are (x1, y1, x2, y2). One with a negative side has area 0; one with a NaN or infinite corner, or a side too
// long for the type, has no area. Neither overlaps anything, and no overlap is ever NaN.
#pragma once

#include "scalar.h"

namespace roibench {

// ---- boxes

template <class T>
struct Box {
  T x1, y1, x2, y2;
};

template <class T>
ROIBENCH_HD T width(const Box<T>& b) {
  return not_negative(b.x2 - b.x1);
}
template <class T>
ROIBENCH_HD T height(const Box<T>& b) {
  return not_negative(b.y2 - b.y1);
}
template <class T>
ROIBENCH_HD T area(const Box<T>& b) {
  return width(b) * height(b);
}
// The angle of the diagonal, arctan(width / height): what CIoU compares. 0 for a point.
template <class T>
ROIBENCH_HD T aspect(const Box<T>& b) {
  return arctan2(width(b), height(b));
}

// The intersection of two boxes; its sides are negative where there is none.
template <class T>
ROIBENCH_HD Box<T> intersection(const Box<T>& a, const Box<T>& b) {
  return {max_of(a.x1, b.x1), max_of(a.y1, b.y1), min_of(a.x2, b.x2), min_of(a.y2, b.y2)};
}
// Its area. min_of and max_of may lose a NaN: then the area of the box that it came from still has it.
template <class T>
ROIBENCH_HD T intersection_area(const Box<T>& a, const Box<T>& b) {
  const Box<T> inter = intersection(a, b);
  return positive(inter.x2 - inter.x1) * positive(inter.y2 - inter.y1);
}
// The smallest box that holds both.
template <class T>
ROIBENCH_HD Box<T> enclosing_box(const Box<T>& a, const Box<T>& b) {
  return {min_of(a.x1, b.x1), min_of(a.y1, b.y1), max_of(a.x2, b.x2), max_of(a.y2, b.y2)};
}

// ---- the IoU family
//
//   IoU   I / U                      intersection over union
//   GIoU  IoU - (C - U) / C          C: area of the enclosing box                                  (Rezatofighi et al.
//   2019) DIoU  IoU - r^2 / d^2            r: distance of the centres, d: diagonal of the enclosing box   (Zheng et al.
//   2020) CIoU  DIoU - v^2 / (1 - IoU + v) v = 4 / pi^2 * (difference of the aspect angles)^2    (Zheng et al. 2020)

enum class IouKind : int { iou, giou, diou, ciou };

// Calls f.operator()<kind>(), where the kind is known at run time. Host only.
template <class F>
__attribute__((always_inline)) inline auto with_kind(IouKind kind, F&& f) {
  switch (kind) {
    case IouKind::giou:
      return f.template operator()<IouKind::giou>();
    case IouKind::diou:
      return f.template operator()<IouKind::diou>();
    case IouKind::ciou:
      return f.template operator()<IouKind::ciou>();
    default:
      return f.template operator()<IouKind::iou>();
  }
}

// A box with what depends on it alone, so that N x M pairs share N + M areas and arctangents. Both are NaN where a
// corner is not finite, and then every kind of overlap is 0, whatever the other box is. `aspect` is read for CIoU only.
template <class T>
struct Measured {
  Box<T> box;
  T area, aspect;
};

template <IouKind kind, class T>
ROIBENCH_HD Measured<T> measured(const Box<T>& b) {
  const T spoiled = T(0) * b.x1 + T(0) * b.y1 + T(0) * b.x2 + T(0) * b.y2;  // 0, or NaN
  if constexpr (kind != IouKind::ciou) return {b, area(b) + spoiled, T(0)};
  return {b, area(b) + spoiled, aspect(b) + spoiled + T(0) * width(b) + T(0) * height(b)};
}

template <class T>
ROIBENCH_HD T squared(T x) {
  return x * x;
}

template <class T>
ROIBENCH_HD T centre_distance2(const Box<T>& a, const Box<T>& b) {
  return (squared(a.x1 + a.x2 - b.x1 - b.x2) + squared(a.y1 + a.y2 - b.y1 - b.y2)) / T(4);
}
template <class T>
ROIBENCH_HD T diagonal2(const Box<T>& b) {
  return squared(width(b)) + squared(height(b));
}

template <class T>
constexpr T kAspectScale = T(0.40528473456935108577551785283891);  // 4 / pi^2

template <IouKind kind, class T>
ROIBENCH_HD T overlap(const Measured<T>& a, const Measured<T>& b) {
  const T inter_area = intersection_area(a.box, b.box);
  const T union_area = a.area + b.area - inter_area;
  const T iou = ratio(inter_area, union_area);
  if constexpr (kind == IouKind::iou) return iou;

  const Box<T> enclosing = enclosing_box(a.box, b.box);
  if constexpr (kind == IouKind::giou) return iou - ratio(area(enclosing) - union_area, area(enclosing));

  const T diou = iou - ratio(centre_distance2(a.box, b.box), diagonal2(enclosing));
  if constexpr (kind == IouKind::diou) return diou;

  const T v = kAspectScale<T> * squared(a.aspect - b.aspect);
  return diou - ratio(v * v, T(1) - iou + v);
}

// If a rounded IoU exceeds a threshold, which is not negative, then the intersection has at least this share of the
// union: one multiplication rules out most pairs.
template <class T>
ROIBENCH_HD T min_share(T threshold) {
  return threshold * (sizeof(T) == 4 ? T(1 - 0x1p-22) : T(1 - 0x1p-51));
}

// ---- derivatives: each adds to `grad` what `d`, the derivative of the loss by the value, means for the box

template <class T>
ROIBENCH_HD void width_backward(const Box<T>& b, T d, Box<T>& grad) {
  if (b.x2 > b.x1) {
    grad.x1 -= d;
    grad.x2 += d;
  }
}
template <class T>
ROIBENCH_HD void height_backward(const Box<T>& b, T d, Box<T>& grad) {
  if (b.y2 > b.y1) {
    grad.y1 -= d;
    grad.y2 += d;
  }
}
template <class T>
ROIBENCH_HD void area_backward(const Box<T>& b, T d, Box<T>& grad) {
  width_backward(b, d * height(b), grad);
  height_backward(b, d * width(b), grad);
}
template <class T>
ROIBENCH_HD void aspect_backward(const Box<T>& b, T d, Box<T>& grad) {
  const T scaled = ratio(d, diagonal2(b));
  width_backward(b, scaled * height(b), grad);
  height_backward(b, -scaled * width(b), grad);
}

// The share of the first argument in max(a, b); equal arguments share evenly, as torch.maximum has it.
template <class T>
ROIBENCH_HD T share_of_max(T a, T b) {
  return a > b ? T(1) : a == b ? T(0.5) : T(0);
}

// d is the derivative by the corners of intersection(a, b).
template <class T>
ROIBENCH_HD void intersection_backward(const Box<T>& a, const Box<T>& b, const Box<T>& d, Box<T>& grad_a,
                                       Box<T>& grad_b) {
  const Box<T> s = {share_of_max(a.x1, b.x1), share_of_max(a.y1, b.y1), share_of_max(b.x2, a.x2),
                    share_of_max(b.y2, a.y2)};
  grad_a.x1 += d.x1 * s.x1, grad_b.x1 += d.x1 * (T(1) - s.x1);
  grad_a.y1 += d.y1 * s.y1, grad_b.y1 += d.y1 * (T(1) - s.y1);
  grad_a.x2 += d.x2 * s.x2, grad_b.x2 += d.x2 * (T(1) - s.x2);
  grad_a.y2 += d.y2 * s.y2, grad_b.y2 += d.y2 * (T(1) - s.y2);
}
// An enclosing box takes min where an intersection takes max: the boxes change places.
template <class T>
ROIBENCH_HD void enclosing_box_backward(const Box<T>& a, const Box<T>& b, const Box<T>& d, Box<T>& grad_a,
                                        Box<T>& grad_b) {
  intersection_backward(b, a, d, grad_a, grad_b);
}

// Adds those numbers of `grad` that are finite; NaN where d, of which they are multiples, is not.
template <class T>
ROIBENCH_HD void add_finite(const Box<T>& grad, T d, Box<T>& sum) {
  const T otherwise = T(0) * d;
  sum.x1 += grad.x1 - grad.x1 == T(0) ? grad.x1 : otherwise;
  sum.y1 += grad.y1 - grad.y1 == T(0) ? grad.y1 : otherwise;
  sum.x2 += grad.x2 - grad.x2 == T(0) ? grad.x2 : otherwise;
  sum.y2 += grad.y2 - grad.y2 == T(0) ? grad.y2 : otherwise;
}

// Derivatives of overlap<kind>(a, b), times d, added to grad_a and grad_b. The factor v / (1 - IoU + v) of CIoU is
// differentiated like everything else. A ratio that overlap takes for 0 is a constant: what it is made of may be NaN or
// infinite, and 0 times that is NaN, so that it must not be touched. What overflows, between boxes that are extremely
// thin and long, counts as 0 too.
template <IouKind kind, class T>
ROIBENCH_HD void overlap_backward(const Measured<T>& a, const Measured<T>& b, T d, Box<T>& sum_a, Box<T>& sum_b) {
  Box<T> grad_a = {0, 0, 0, 0}, grad_b = {0, 0, 0, 0};
  const Box<T> inter = intersection(a.box, b.box);
  const T inter_area = intersection_area(a.box, b.box);
  const T union_area = a.area + b.area - inter_area;
  T d_iou = d;
  T d_union_area = 0;

  if constexpr (kind == IouKind::giou) {  // IoU - 1 + U / C
    const Box<T> enclosing = enclosing_box(a.box, b.box);
    const T c = area(enclosing);
    if (is_ratio(c - union_area, c)) {
      Box<T> d_enclosing = {0, 0, 0, 0};
      d_union_area += ratio(d, c);
      area_backward(enclosing, -ratio(d * ratio(union_area, c), c), d_enclosing);
      enclosing_box_backward(a.box, b.box, d_enclosing, grad_a, grad_b);
    }
  }
  if constexpr (kind == IouKind::diou || kind == IouKind::ciou) {  // IoU - r^2 / d^2
    const Box<T> enclosing = enclosing_box(a.box, b.box);
    const T distance = centre_distance2(a.box, b.box), diagonal = diagonal2(enclosing);
    if (is_ratio(distance, diagonal)) {
      Box<T> d_enclosing = {0, 0, 0, 0};
      const T by_distance = -ratio(d, diagonal);
      const T by_diagonal = -by_distance * ratio(distance, diagonal);
      const T dx = by_distance * (a.box.x1 + a.box.x2 - b.box.x1 - b.box.x2) / T(2);
      const T dy = by_distance * (a.box.y1 + a.box.y2 - b.box.y1 - b.box.y2) / T(2);
      grad_a.x1 += dx, grad_a.x2 += dx, grad_b.x1 -= dx, grad_b.x2 -= dx;
      grad_a.y1 += dy, grad_a.y2 += dy, grad_b.y1 -= dy, grad_b.y2 -= dy;
      width_backward(enclosing, T(2) * by_diagonal * width(enclosing), d_enclosing);
      height_backward(enclosing, T(2) * by_diagonal * height(enclosing), d_enclosing);
      enclosing_box_backward(a.box, b.box, d_enclosing, grad_a, grad_b);
    }
  }
  if constexpr (kind == IouKind::ciou) {  // - v^2 / e, e = 1 - IoU + v
    const T difference = a.aspect - b.aspect;
    const T v = kAspectScale<T> * squared(difference);
    const T e = T(1) - ratio(inter_area, union_area) + v;
    if (is_ratio(v * v, e)) {
      const T share = ratio(v, e);
      const T by_v = -d * share * (T(2) - share);
      const T by_angle = by_v * T(2) * kAspectScale<T> * difference;
      d_iou -= d * squared(share);
      aspect_backward(a.box, by_angle, grad_a);
      aspect_backward(b.box, -by_angle, grad_b);
    }
  }

  const bool overlapping = is_ratio(inter_area, union_area);
  if (overlapping || d_union_area != T(0)) {
    const T d_inter_area = overlapping ? ratio(d_iou, union_area) : T(0);
    d_union_area -= d_inter_area * ratio(inter_area, union_area);
    Box<T> d_inter = {0, 0, 0, 0};
    area_backward(inter, d_inter_area - d_union_area, d_inter);
    intersection_backward(a.box, b.box, d_inter, grad_a, grad_b);
    area_backward(a.box, d_union_area, grad_a);
    area_backward(b.box, d_union_area, grad_b);
  }
  add_finite(grad_a, d, sum_a);
  add_finite(grad_b, d, sum_b);
}

}  // namespace roibench
