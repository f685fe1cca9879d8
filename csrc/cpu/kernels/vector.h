// A vector of numbers as wide as the SIMD level's registers. The compiler turns +, * and shuffles on it into
// instructions, and knows nothing of intrinsics' names: the same code serves every level.
template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef decltype(type() < type()) mask;  // integers of T's size
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr int kLanes = kVectorBytes / sizeof(T);

// Sums that stay in registers through a loop: half of the 32 that AVX-512 has, or of the 16 of its elders.
constexpr int kSums = kVectorBytes == 64 ? 16 : 8;

template <class V, class T>
inline V load(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof(V));
  return v;
}
template <class V, class T>
inline void store(T* to, const V& v) {
  __builtin_memcpy(to, &v, sizeof(V));
}
