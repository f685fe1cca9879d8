// Soft-NMS (Bodla et al. 2017, arXiv 1704.04503): take the box with the best score, lower the scores of the others by
// how much they overlap it, go on with the best of what is left.
//
// Each round visits all boxes that are left: they are stored by column, so that one instruction lowers as many scores
// as a register holds. A box that was taken, or whose score fell below the threshold, has no number for a score; when
// an eighth of the boxes have been taken, all such boxes are removed. The others keep their order, so that the first of
// equal scores has the lowest index.
//
// Cost: N rounds of at most N boxes, some 25 operations and a division per pair.

template <class T>
struct SoftCandidates {
  BoxColumns<T> at;
  T* score;
  int64_t* index;
  int64_t count;  // whole blocks: what is beyond the last box has no number for a score

  static constexpr int64_t kBlock = 64;
  static int64_t capacity(int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

  void pad(int64_t n) {
    count = capacity(n);
    for (int64_t j = n; j < count; ++j) {
      at.x1[j] = at.y1[j] = at.x2[j] = at.y2[j] = at.area[j] = T(0);
      score[j] = T(NAN);
    }
  }

  void remove_below(T threshold) {
    int64_t n = 0;
    for (int64_t j = 0; j < count; ++j) {
      if (!(score[j] >= threshold)) continue;
      at.x1[n] = at.x1[j], at.y1[n] = at.y1[j], at.x2[n] = at.x2[j], at.y2[n] = at.y2[j], at.area[n] = at.area[j];
      score[n] = score[j];
      index[n++] = index[j];
    }
    pad(n);
  }

  // The first box with the best score; `count` where none has a number for a score.
  int64_t best() const {
    Vector<T> most = Vector<T>{} - T(INFINITY);
    for (int64_t j = 0; j < count; j += kLanes<T>) {
      const Vector<T> here = load<Vector<T>>(score + j);
      most = here > most ? here : most;
    }
    T top = most[0];
    for (int lane = 1; lane < kLanes<T>; ++lane) top = most[lane] > top ? most[lane] : top;
    typedef typename LaneMask<T>::type Mask;
    for (int64_t first = 0; first < count; first += kBlock) {
      Mask here = 0;
      for (int64_t j = first; j < first + kBlock; ++j) here |= Mask(score[j] == top);
      if (!here) continue;
      while (score[first] != top) ++first;
      return first;
    }
    return count;
  }

  template <bool gaussian>
  void decay(Measured<T> taken, SoftNms<T> how) {
    const BoxColumns<T> box = at;
    T* const to = score;
#pragma GCC ivdep
    for (int64_t j = 0; j < count; ++j) {
      const Measured<T> other = {{box.x1[j], box.y1[j], box.x2[j], box.y2[j]}, box.area[j], T(0)};
      to[j] = decayed<gaussian>(to[j], overlap<IouKind::iou>(taken, other), how);
    }
  }
};

// kept, kept_scores: room for n. Returns how many were kept.
template <class T>
int64_t soft_nms(SoftNms<T> how, const T* boxes, const T* scores, int64_t n, int64_t* kept, T* kept_scores) {
  const int64_t capacity = SoftCandidates<T>::capacity(n);
  const Memory<T> columns((BoxColumns<T>::columns + 1) * capacity);
  const Memory<int64_t> indices(capacity);
  SoftCandidates<T> left = {BoxColumns<T>::in(columns.data, capacity), columns.data + BoxColumns<T>::columns * capacity,
                            indices.data, n};
  measure(IouKind::iou, boxes, left.at, 0, n);
  for (int64_t i = 0; i < n; ++i) left.score[i] = scores[i], left.index[i] = i;
  left.remove_below(how.score_threshold);

  int64_t taken = 0, until_removal = left.count / 8;
  for (int64_t k = left.best(); k < left.count && left.score[k] >= how.score_threshold; k = left.best()) {
    kept[taken] = left.index[k];
    kept_scores[taken++] = left.score[k];
    left.score[k] = T(NAN);
    const Measured<T> box = measured<IouKind::iou>(box_at(boxes, left.index[k]));
    how.gaussian ? left.template decay<true>(box, how) : left.template decay<false>(box, how);
    if (--until_removal <= 0) {
      left.remove_below(how.score_threshold);
      until_removal = left.count / 8;
    }
  }
  return taken;
}
