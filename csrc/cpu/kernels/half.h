// 16-bit numbers to float and back, rounded to nearest even. Integers all the way, because not every level has
// instructions for both formats and the compiler turns these loops into vectors at each of them. NaN stays NaN.

inline float float_of_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

// bfloat16 is the upper half of a float.
inline float widen_bfloat16(uint16_t half) {
  return float_of_bits(uint32_t(half) << 16);
}

inline uint16_t narrow_bfloat16(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

// float16 has 10 bits of fraction where a float has 23, and an exponent that is biased by 15 instead of 127. Its
// numbers below 2^-14 are whole multiples of 2^-24.
inline float widen_float16(uint16_t half) {
  const uint32_t magnitude = half & 0x7fff, sign = uint32_t(half & 0x8000) << 16;
  const uint32_t finite = (magnitude << 13) + ((127 - 15) << 23), other = (magnitude << 13) | 0x7f800000;
  const uint32_t small = bits_of_float(float(int32_t(magnitude)) * 0x1p-24f);
  return float_of_bits(sign | (magnitude < 0x400 ? small : magnitude < 0x7c00 ? finite : other));
}

inline uint16_t narrow_float16(float value) {
  const uint32_t bits = bits_of_float(value), magnitude = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
  const uint32_t normal = (magnitude - ((127 - 15) << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Beside 0.5, a float's last bit is worth 2^-24: the addition rounds.
  const uint32_t small = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
  const uint32_t infinite = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
  return uint16_t(sign | (magnitude < (113u << 23) ? small : magnitude < 0x477ff000 ? normal : infinite));
}

inline void widen(HalfType type, const uint16_t* from, float* to, int64_t n) {
  if (type == HalfType::bfloat16) {
    for (int64_t i = 0; i < n; ++i) to[i] = widen_bfloat16(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = widen_float16(from[i]);
  }
}

inline void narrow(HalfType type, const float* from, uint16_t* to, int64_t n) {
  if (type == HalfType::bfloat16) {
    for (int64_t i = 0; i < n; ++i) to[i] = narrow_bfloat16(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = narrow_float16(from[i]);
  }
}
