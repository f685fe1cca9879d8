// Greedy non-maximum suppression: take the boxes best first; keep one unless a box kept before overlaps it by more than
// the threshold.
//
// A candidate is compared with the kept boxes, not a kept box with all later candidates: the same pairs, but it stops
// at the first hit, it needs no list of the suppressed, and the kept boxes are few. They are stored by column, so that
// one instruction compares as many as a register holds. A block is first asked without a division whether any of its
// boxes could exceed the threshold; the quotient decides only where one could.
//
// Of the kept boxes only those nearby are asked. If IoU > t, the common part is wider than t times either box. So the
// kept box's left edge lies less than (1 - t) of its own width to the left of the candidate's, or less than (1 - t) of
// the candidate's width to the right; and it is at most 1/t times as wide. A grid over the upper left corners finds
// these: each cell owns as many slots as candidates fall into it, so memory is linear in n, and its kept boxes lie side
// by side. Where that window holds more cells than there are blocks of kept boxes, all kept boxes are asked.

template <class T>
struct LaneMask;
template <>
struct LaneMask<float> {
  typedef int32_t type;
};
template <>
struct LaneMask<double> {
  typedef int64_t type;
};

// Boxes by column, read in whole blocks: what lies behind the last one is zero, and overlaps nothing.
template <class T>
struct KeptBoxes {
  static constexpr int64_t kBlock = 16;
  static constexpr int64_t kColumns = 5;

  Memory<T> memory;
  BoxColumns<T> at;

  explicit KeptBoxes(int64_t capacity)
      : memory(kColumns * (capacity + kBlock)), at(BoxColumns<T>::in(memory.data, capacity + kBlock)) {
    for (int64_t k = 0; k < kColumns * (capacity + kBlock); ++k) memory.data[k] = T(0);
  }

  Measured<T> operator[](int64_t k) const { return {{at.x1[k], at.y1[k], at.x2[k], at.y2[k]}, at.area[k], T(0)}; }

  void put(int64_t k, const Measured<T>& m) {
    at.x1[k] = m.box.x1, at.y1[k] = m.box.y1, at.x2[k] = m.box.x2, at.y2[k] = m.box.y2, at.area[k] = m.area;
  }

  // Does any box from `begin` on, up to the end of the block that holds the last one before `end`, overlap this one by
  // more than the threshold, which is not negative? The boxes behind `end` are kept boxes, too.
  bool suppress(const Measured<T>& m, T threshold, int64_t begin, int64_t end) const {
    const T possible = min_share(threshold);
    typedef typename LaneMask<T>::type Mask;
    for (int64_t k = begin; k < end; k += kBlock) {
      Mask near = 0;
      for (int64_t j = k; j < k + kBlock; ++j) {
        const Measured<T> other = (*this)[j];
        const T inter_area = intersection_area(m.box, other.box);
        near |= Mask(inter_area > T(0)) & Mask(inter_area >= possible * (m.area + other.area - inter_area));
      }
      if (!near) continue;
      Mask hit = 0;
      for (int64_t j = k; j < k + kBlock; ++j) hit |= Mask(overlap<IouKind::iou>(m, (*this)[j]) > threshold);
      if (hit) return true;
    }
    return false;
  }
};

// One axis of the grid: cells over the boxes' low edges. In double, so that rounding is no concern for float boxes.
struct GridAxis {
  double low = __builtin_inf(), high = -__builtin_inf();  // of the low edges
  double sides = 0, longest = 0;
  double share = 0, per_cell = 0;  // of a side that two boxes must have in common; cells per unit
  int64_t cells = 1;

  void see(double edge, double side) {
    low = min_of(low, edge), high = max_of(high, edge);
    sides += side, longest = max_of(longest, side);
  }

  double behind(double side) const { return (1 - share) * min_of(side / share, longest); }
  double ahead(double side) const { return (1 - share) * side; }

  // Cells as large as half the window of a typical box, of n.
  void divide(double threshold, int64_t n, double most) {
    share = threshold * (1 - 1e-5);  // the areas that are compared are rounded
    const double typical = sides / n;
    const double wanted = 2 * (high - low) / (behind(typical) + ahead(typical));
    cells = int64_t(max_of(min_of(wanted, most), 0.0)) + 1;
    per_cell = high > low ? cells / (high - low) : 0;
  }

  int64_t cell(double edge) const { return int64_t(min_of(max_of((edge - low) * per_cell, 0.0), double(cells - 1))); }
  // The cells, first to last, of whatever may overlap a box enough.
  int64_t first(double edge, double side) const { return cell(edge - behind(side) - margin(edge)); }
  int64_t last(double edge, double side) const { return cell(edge + ahead(side) + margin(edge)); }
  static double margin(double edge) { return 1e-15 * __builtin_fabs(edge); }
};

template <class T>
struct CornerGrid {
  static constexpr int64_t kMinCandidates = 256;  // candidates; with fewer, all kept boxes are soon asked

  GridAxis x, y;
  bool sound;

  // An area this small is rounded so coarsely that the argument above fails.
  static constexpr double kMinArea = sizeof(T) == 4 ? 0x1p-100 : 0x1p-900;
  static bool solid(const Measured<T>& m) { return m.area > T(0) && m.area < T(INFINITY); }

  CornerGrid(const T* boxes, const int64_t* order, int64_t n, T threshold) : sound(threshold >= T(0)) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      const Measured<T> m = measured<IouKind::iou>(box_at(boxes, order[i]));
      if (!solid(m)) continue;
      ++count;
      sound &= m.area >= T(kMinArea);
      x.see(m.box.x1, double(m.box.x2) - double(m.box.x1));
      y.see(m.box.y1, double(m.box.y2) - double(m.box.y1));
    }
    sound &= count >= kMinCandidates && x.high - x.low < __builtin_inf() && y.high - y.low < __builtin_inf();
    if (!sound) return;
    const double most = __builtin_sqrt(double(count)) / 2;
    x.divide(threshold, count, most);
    y.divide(threshold, count, most);
  }

  int64_t cells() const { return x.cells * y.cells; }
  int64_t cell(const Box<T>& b) const { return y.cell(b.y1) * x.cells + x.cell(b.x1); }
};

template <class T>
void nms_all(const T* boxes, const int64_t* order, int64_t n, T threshold, bool* kept_flags) {
  KeptBoxes<T> kept(n);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Measured<T> candidate = measured<IouKind::iou>(box_at(boxes, order[i]));
    kept_flags[i] = !kept.suppress(candidate, threshold, 0, count);
    if (kept_flags[i]) kept.put(count++, candidate);
  }
}

template <class T>
void nms_nearby(const CornerGrid<T>& grid, const T* boxes, const int64_t* order, int64_t n, T threshold,
                bool* kept_flags) {
  const Memory<int64_t> first(grid.cells() + 1), filled(grid.cells());
  for (int64_t c = 0; c < grid.cells(); ++c) first.data[c] = filled.data[c] = 0;
  first.data[grid.cells()] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Measured<T> m = measured<IouKind::iou>(box_at(boxes, order[i]));
    if (grid.solid(m)) ++first.data[grid.cell(m.box) + 1];
  }
  for (int64_t c = 0; c < grid.cells(); ++c) first.data[c + 1] += first.data[c];

  KeptBoxes<T> by_cell(first.data[grid.cells()]), all(first.data[grid.cells()]);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Measured<T> m = measured<IouKind::iou>(box_at(boxes, order[i]));
    kept_flags[i] = true;  // what has no area overlaps nothing
    if (!grid.solid(m)) continue;
    const double width = double(m.box.x2) - double(m.box.x1), height = double(m.box.y2) - double(m.box.y1);
    const int64_t left = grid.x.first(m.box.x1, width), right = grid.x.last(m.box.x1, width);
    const int64_t top = grid.y.first(m.box.y1, height), bottom = grid.y.last(m.box.y1, height);
    bool suppressed = false;
    if ((right - left + 1) * (bottom - top + 1) * KeptBoxes<T>::kBlock > count) {
      suppressed = all.suppress(m, threshold, 0, count);
    } else {
      for (int64_t r = top; r <= bottom && !suppressed; ++r) {
        for (int64_t c = r * grid.x.cells + left; c <= r * grid.x.cells + right && !suppressed; ++c) {
          suppressed = by_cell.suppress(m, threshold, first.data[c], first.data[c] + filled.data[c]);
        }
      }
    }
    kept_flags[i] = !suppressed;
    if (suppressed) continue;
    const int64_t c = grid.cell(m.box);
    by_cell.put(first.data[c] + filled.data[c]++, m);
    all.put(count++, m);
  }
}

template <class T>
void nms(const T* boxes, const int64_t* order, int64_t n, T threshold, bool* kept_flags) {
  if (threshold < T(0)) {  // no overlap is below zero: the first box suppresses every other one
    for (int64_t i = 0; i < n; ++i) kept_flags[i] = i == 0;
    return;
  }
  const CornerGrid<T> grid(boxes, order, n >= CornerGrid<T>::kMinCandidates ? n : 0, threshold);
  if (grid.sound) {
    nms_nearby(grid, boxes, order, n, threshold, kept_flags);
  } else {
    nms_all(boxes, order, n, threshold, kept_flags);
  }
}
