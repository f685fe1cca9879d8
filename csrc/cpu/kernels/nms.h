// Greedy non-maximum suppression: take the boxes best first; keep one unless a box kept before overlaps it by more than
// the threshold.
//
// A candidate is compared with the kept boxes, not a kept box with all later candidates: the same pairs, but it stops
// at the first hit, it needs no list of the suppressed, and the kept boxes are few and stay in the cache. They are
// stored by column, a block at a time, so that one instruction compares as many as a register holds. A block is first
// asked without a division whether any of its boxes could exceed the threshold; the quotient decides only where one
// could.

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

template <class T>
struct KeptBoxes {
  static constexpr int64_t kBlock = 64;

  BoxColumns<T> at;
  int64_t count = 0;

  Measured<T> operator[](int64_t k) const { return {{at.x1[k], at.y1[k], at.x2[k], at.y2[k]}, at.area[k], T(0)}; }

  void add(const Measured<T>& m) {
    if (count % kBlock == 0) {  // a new block begins with boxes that overlap nothing
      for (int64_t k = count; k < count + kBlock; ++k) {
        at.x1[k] = at.y1[k] = at.x2[k] = at.y2[k] = at.area[k] = T(0);
      }
    }
    at.x1[count] = m.box.x1, at.y1[count] = m.box.y1, at.x2[count] = m.box.x2, at.y2[count] = m.box.y2;
    at.area[count] = m.area;
    ++count;
  }

  // Does any kept box overlap this one by more than the threshold, which is not negative?
  bool suppress(const Measured<T>& m, T threshold) const {
    // If the rounded quotient exceeds the threshold, the shared area is at least this part of the joined one.
    const T possible = threshold * (sizeof(T) == 4 ? T(1 - 0x1p-22) : T(1 - 0x1p-51));
    typedef typename LaneMask<T>::type Mask;
    for (int64_t k = 0; k < count; k += kBlock) {
      Mask near = 0;
      for (int64_t j = k; j < k + kBlock; ++j) {
        const Measured<T> other = (*this)[j];
        const T shared = shared_area(m.box, other.box);
        near |= Mask(shared > T(0)) & Mask(shared >= possible * (m.area + other.area - shared));
      }
      if (!near) continue;
      Mask hit = 0;
      for (int64_t j = k; j < k + kBlock; ++j) hit |= Mask(overlap<IouKind::iou>(m, (*this)[j]) > threshold);
      if (hit) return true;
    }
    return false;
  }
};

template <class T>
void nms(const T* boxes, const int64_t* order, int64_t n, T threshold, bool* kept_flags) {
  const int64_t room = (n + KeptBoxes<T>::kBlock - 1) / KeptBoxes<T>::kBlock * KeptBoxes<T>::kBlock;
  const Memory<T> memory(BoxColumns<T>::columns * room);
  KeptBoxes<T> kept{BoxColumns<T>::in(memory.data, room)};
  for (int64_t i = 0; i < n; ++i) {
    const Measured<T> candidate = measured<IouKind::iou>(box_at(boxes, order[i]));
    // No overlap is below zero, so with a negative threshold the first box suppresses every other one.
    kept_flags[i] = threshold < T(0) ? i == 0 : !kept.suppress(candidate, threshold);
    if (kept_flags[i]) kept.add(candidate);
  }
}
