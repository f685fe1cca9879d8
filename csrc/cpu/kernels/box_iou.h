// The overlap of boxes: each pair, or every box of one set with every box of another.
// The formulas stand in geometry/overlap.h. Here they are loops over columns, so that the compiler makes vectors of
// them; area and aspect of a box are measured once and not once per pair.

template <class T>
inline Box<T> box_at(const T* boxes, int64_t i) {
  return {boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
}
template <class T>
inline void put_box(T* boxes, int64_t i, const Box<T>& b) {
  boxes[4 * i] = b.x1, boxes[4 * i + 1] = b.y1, boxes[4 * i + 2] = b.x2, boxes[4 * i + 3] = b.y2;
}

template <class T>
void measure(IouKind kind, const T* boxes, BoxColumns<T> out, int64_t begin, int64_t end) {
  with_kind(kind, [&]<IouKind K>() {
    for (int64_t i = begin; i < end; ++i) {
      const Measured<T> m = measured<K>(box_at(boxes, i));
      out.x1[i] = m.box.x1, out.y1[i] = m.box.y1, out.x2[i] = m.box.x2, out.y2[i] = m.box.y2;
      out.area[i] = m.area, out.aspect[i] = m.aspect;
    }
  });
}

template <class T>
void box_iou(IouKind kind, const T* boxes1, BoxColumns<T> b, int64_t m, T* out, int64_t begin, int64_t end) {
  with_kind(kind, [&]<IouKind K>() {
    for (int64_t i = begin; i < end; ++i) {
      const Measured<T> a = measured<K>(box_at(boxes1, i));
      T* const row = out + i * m;
      for (int64_t j = 0; j < m; ++j) {
        row[j] = overlap<K>(a, Measured<T>{{b.x1[j], b.y1[j], b.x2[j], b.y2[j]}, b.area[j], b.aspect[j]});
      }
    }
  });
}

template <class T>
void box_iou_elementwise(IouKind kind, const T* boxes1, const T* boxes2, T* out, int64_t begin, int64_t end) {
  with_kind(kind, [&]<IouKind K>() {
    for (int64_t i = begin; i < end; ++i) {
      out[i] = overlap<K>(measured<K>(box_at(boxes1, i)), measured<K>(box_at(boxes2, i)));
    }
  });
}

template <class T>
void box_iou_backward(IouKind kind, const T* a, const T* b, int64_t m, const T* grad, int64_t step_a, int64_t step_b,
                      T* grad_a, int64_t begin, int64_t end) {
  with_kind(kind, [&]<IouKind K>() {
    for (int64_t i = begin; i < end; ++i) {
      const Measured<T> mine = measured<K>(box_at(a, i));
      Box<T> sum = {0, 0, 0, 0};
      for (int64_t j = 0; j < m; ++j) {
        const T d = grad[i * step_a + j * step_b];
        Box<T> other = {0, 0, 0, 0};  // the other side's share: summed when it is its turn, by rows of its own
        if (d != T(0)) overlap_backward<K>(mine, measured<K>(box_at(b, j)), d, sum, other);
      }
      put_box(grad_a, i, sum);
    }
  });
}

template <class T>
void box_iou_elementwise_backward(IouKind kind, const T* boxes1, const T* boxes2, const T* grad, T* grad1, T* grad2,
                                  int64_t begin, int64_t end) {
  with_kind(kind, [&]<IouKind K>() {
    for (int64_t i = begin; i < end; ++i) {
      Box<T> one = {0, 0, 0, 0}, two = {0, 0, 0, 0};
      overlap_backward<K>(measured<K>(box_at(boxes1, i)), measured<K>(box_at(boxes2, i)), grad[i], one, two);
      put_box(grad1, i, one);
      put_box(grad2, i, two);
    }
  });
}
