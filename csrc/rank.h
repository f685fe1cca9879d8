// Numbers as integers of their size that have the same order, with NaN above infinity: so compared, NaN is the largest
// number without being asked for, and 16-bit types need no conversion. Included inside a namespace, once for each SIMD
// level: a vector is lowered to the registers that its function was defined for.

template <class I>
constexpr I kMax = I(~(uint64_t(1) << (8 * sizeof(I) - 1)));  // NaN
template <class I>
constexpr I kMin = I(-kMax<I> - 1);  // below -infinity: no number has it

// The bits of a number from the integer of its rank: negative numbers go backwards. It is its own inverse. V is I, or a
// vector of them.
template <class I, class V>
ROIBENCH_HD V bits_of(V rank) {
  return rank ^ ((rank >> I(8 * sizeof(I) - 1)) & kMax<I>);
}

// infinity: its bits, which tell float16 from bfloat16.
template <class I, class V>
ROIBENCH_HD V rank_of(V bits, I infinity) {
  const V nan = V{} + kMax<I>;
  return (bits & kMax<I>) > infinity ? nan : bits_of<I>(bits);
}
