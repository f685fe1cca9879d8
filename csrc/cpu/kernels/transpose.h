// Turns a matrix: target[c, r] = source[r, c]. Blocks as large as a register is wide are turned in registers, by
// exchanging the off-diagonal quarters, then those of the quarters, and so on. Blocks at the edge overlap their
// neighbours; only a matrix that is narrower than one block is turned number by number.

template <int... lane>
struct Lanes {};
template <int n, int... lane>
struct LanesBelow : LanesBelow<n - 1, n - 1, lane...> {};
template <int... lane>
struct LanesBelow<0, lane...> {
  typedef Lanes<lane...> type;  // Lanes<0, 1, ..., n - 1>
};

// Rows a and b, `distance` apart: b's blocks of that length come into a where a's come into b.
template <int distance, class T, int... lane>
inline void exchange(Vector<T>& a, Vector<T>& b, Lanes<lane...>) {
  const Vector<T> first = __builtin_shufflevector(a, b, (lane & distance ? kLanes<T> + lane - distance : lane)...);
  b = __builtin_shufflevector(a, b, (lane & distance ? kLanes<T> + lane : lane + distance)...);
  a = first;
}

template <int distance, class T>
inline void exchange_quarters(Vector<T>* rows) {
  for (int r = 0; r < kLanes<T>; ++r) {
    if (!(r & distance)) exchange<distance, T>(rows[r], rows[r + distance], typename LanesBelow<kLanes<T>>::type());
  }
  if constexpr (distance > 1) exchange_quarters<distance / 2, T>(rows);
}

template <class T>
void transpose(const T* source, int64_t rows, int64_t columns, int64_t source_stride, T* target,
               int64_t target_stride) {
  constexpr int64_t n = kLanes<T>;
  if (rows < n || columns < n) {
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t r = 0; r < rows; ++r) target[c * target_stride + r] = source[r * source_stride + c];
    }
    return;
  }
  for (int64_t c = 0; c < columns; c += n) {
    c = c < columns - n ? c : columns - n;
    for (int64_t r = 0; r < rows; r += n) {
      r = r < rows - n ? r : rows - n;
      Vector<T> block[n];
      for (int64_t k = 0; k < n; ++k) block[k] = load<Vector<T>>(source + (r + k) * source_stride + c);
      exchange_quarters<n / 2, T>(block);
      for (int64_t k = 0; k < n; ++k) store(target + (c + k) * target_stride + r, block[k]);
    }
  }
}
