// Turns a matrix: target[c, r] = source[r, c].
template <class T>
void transpose(const T* source, int64_t rows, int64_t columns, int64_t source_stride, T* target,
               int64_t target_stride) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) target[c * target_stride + r] = source[r * source_stride + c];
  }
}
