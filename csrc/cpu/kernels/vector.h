// A vector of numbers as wide as the SIMD level's registers. The compiler turns +, * and shuffles on it into
// instructions, and knows nothing of intrinsics' names: the same code serves every level.
template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
