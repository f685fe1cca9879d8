// What PTX instructions do, for the C++ that translate.py writes. Registers hold bits; an instruction's type says what
// they mean. Approximations (ex2.approx, ...) are computed exactly, so results agree with a GPU's to its error bounds.
#pragma once

#include <simt.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace ptx {

template <class T, class Bits>
inline T value(Bits bits) {
  if constexpr (std::is_same_v<T, Bits>) {
    return bits;
  } else if constexpr (std::is_integral_v<T>) {
    return T(bits);
  } else if constexpr (sizeof(T) == 2) {
    return std::bit_cast<T>(uint16_t(bits));
  } else if constexpr (sizeof(T) == 4) {
    return std::bit_cast<T>(uint32_t(bits));
  } else {
    return std::bit_cast<T>(uint64_t(bits));
  }
}
// Signed values are sign-extended into a wider register.
template <class Register, class T>
inline void set(Register& to, T x) {
  if constexpr (std::is_integral_v<T>) {
    to = Register(x);
  } else if constexpr (sizeof(T) == 2) {
    to = std::bit_cast<uint16_t>(x);
  } else if constexpr (sizeof(T) == 4) {
    to = std::bit_cast<uint32_t>(x);
  } else {
    to = std::bit_cast<uint64_t>(x);
  }
}

// ---- memory

template <class T>
T* checked(uint64_t address, simt::Site at) {
  if (address % sizeof(T) != 0) simt::fail("misaligned address: a GPU faults here", at);
  return reinterpret_cast<T*>(address);
}
template <class T, int N>
struct alignas(N * sizeof(T)) Vector {
  T at[N];
};
template <class T>
T load(uint64_t address, simt::Site at) {
  return *checked<T>(address, at);
}
template <class T>
void store(uint64_t address, T x, simt::Site at) {
  *checked<T>(address, at) = x;
}
inline uint64_t in_window(uint32_t shared_address) {
  return reinterpret_cast<uint64_t>(simt::shared_window() + shared_address);
}
inline uint32_t shared_variable(const void* declaration, size_t bytes, size_t alignment, simt::Site at) {
  return static_cast<unsigned char*>(simt::shared_array(declaration, bytes, alignment, at)) - simt::shared_window();
}
inline uint32_t dynamic_variable() {
  return static_cast<unsigned char*>(simt::dynamic_shared()) - simt::shared_window();
}
template <int bytes>
void copy_async(uint64_t to, uint64_t from, unsigned copied, simt::Site at) {
  using Chunk = Vector<uint32_t, bytes / 4>;
  Chunk chunk = {};
  checked<Chunk>(from, at);
  for (unsigned i = 0; i < copied / 4; ++i) chunk.at[i] = reinterpret_cast<const uint32_t*>(from)[i];
  store(to, chunk, at);
}

template <class T>
T atomic_inc(T before, T limit) {
  return before >= limit ? 0 : before + 1;
}

// ---- integers: arithmetic wraps around

template <class T>
using Unsigned = std::make_unsigned_t<T>;

template <class T>
T add(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(Unsigned<T>(a) + Unsigned<T>(b));
  else
    return T(a + b);
}
template <class T>
T sub(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(Unsigned<T>(a) - Unsigned<T>(b));
  else
    return T(a - b);
}
template <class T>
T mul(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(uint64_t(a) * uint64_t(b));
  else
    return T(a * b);
}
template <class T>
T mul_hi(T a, T b) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return T(Wide(a) * Wide(b) >> 8 * sizeof(T));
}
template <class Wide, class T>
Wide mul_wide(T a, T b) {
  return Wide(Wide(a) * Wide(b));
}
template <class T>
T neg(T a) {
  if constexpr (std::is_integral_v<T>)
    return T(Unsigned<T>(0) - Unsigned<T>(a));
  else
    return -a;
}
template <class T>
T abs(T a) {
  if constexpr (std::is_integral_v<T>)
    return a < 0 ? neg(a) : a;
  else
    return std::fabs(a);
}
template <class T>
T div(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return b == 0 ? T(-1) : a == std::numeric_limits<T>::min() && b == T(-1) ? neg(a) : T(a / b);
  else
    return a / b;
}
template <class T>
T rem(T a, T b) {
  return b == 0 ? a : b == T(-1) && std::is_signed_v<T> ? T(0) : T(a % b);
}
// A shift by the width or more leaves nothing, or the sign.
template <class T>
T shl(T a, uint32_t n) {
  return n >= 8 * sizeof(T) ? T(0) : T(Unsigned<T>(a) << n);
}
template <class T>
T shr(T a, uint32_t n) {
  return n >= 8 * sizeof(T) ? T(a < 0 ? -1 : 0) : T(a >> n);
}
template <class T>
T not_(T a) {
  if constexpr (std::is_same_v<T, bool>)
    return !a;
  else
    return T(~a);
}
template <class T>
uint32_t popc(T a) {
  return std::popcount(Unsigned<T>(a));
}
template <class T>
uint32_t clz(T a) {
  return std::countl_zero(Unsigned<T>(a));
}
// The highest bit that differs from the sign's; ~0 where there is none.
template <class T>
uint32_t bfind(T a) {
  const Unsigned<T> bits = a < 0 ? ~a : a;
  return bits == 0 ? ~0u : 8 * sizeof(T) - 1 - std::countl_zero(bits);
}
// By how much it would have to be shifted to the top.
template <class T>
uint32_t bfind_shift(T a) {
  const uint32_t highest = bfind(a);
  return highest == ~0u ? highest : 8 * sizeof(T) - 1 - highest;
}
template <class T>
T brev(T a) {
  T reversed = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); ++i) reversed |= (a >> i & 1) << (8 * sizeof(T) - 1 - i);
  return reversed;
}
template <class T>
T bfe(T a, uint32_t from, uint32_t count) {
  constexpr uint32_t width = 8 * sizeof(T);
  from &= 255, count &= 255;
  if (count == 0) return 0;
  const uint32_t top = from + count - 1 < width - 1 ? from + count - 1 : width - 1;
  const bool sign = std::is_signed_v<T> && (a >> top & 1);
  Unsigned<T> field = 0;
  for (uint32_t i = 0; i < width; ++i) {
    const bool bit = i < count && from + i < width ? a >> (from + i) & 1 : sign;
    field |= Unsigned<T>(bit) << i;
  }
  return T(field);
}
template <class T>
T bfi(T field, T into, uint32_t from, uint32_t count) {
  for (uint32_t i = 0; i < (count & 255) && (from & 255) + i < 8 * sizeof(T); ++i) {
    const T bit = T(1) << ((from & 255) + i);
    into = (field >> i & 1) ? into | bit : into & ~bit;
  }
  return into;
}
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = selector >> 4 * i & 15;
    uint32_t byte = bytes >> 8 * (nibble & 7) & 255;
    if (nibble & 8) byte = byte & 128 ? 255 : 0;
    out |= byte << 8 * i;
  }
  return out;
}
inline uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t out = 0;
  for (int i = 0; i < 8; ++i) {
    if (table >> i & 1) out |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
  return out;
}
inline uint32_t shf_left(uint32_t low, uint32_t high, uint32_t n) {
  return (uint64_t(high) << 32 | low) << n >> 32;
}
inline uint32_t shf_right(uint32_t low, uint32_t high, uint32_t n) {
  return (uint64_t(high) << 32 | low) >> n;
}

// ---- floating point

template <class T>
T min(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return a < b ? a : b;
  else if (a != a || b != b)
    return a != a ? b : a;
  else
    return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T max(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return a < b ? b : a;
  else if (a != a || b != b)
    return a != a ? b : a;
  else
    return b < a || (a == b && std::signbit(b)) ? a : b;
}
template <class T>
T min_nan(T a, T b) {
  return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : min(a, b);
}
template <class T>
T max_nan(T a, T b) {
  return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : max(a, b);
}
template <class T>
T fma(T a, T b, T c) {
  if constexpr (sizeof(T) == 2)
    return T(std::fma(float(a), float(b), float(c)));
  else
    return std::fma(a, b, c);
}
template <class T>
T sat(T a) {
  return a > T(0) ? (a < T(1) ? a : T(1)) : T(0);
}
// Subnormal numbers become zero.
template <class T>
T ftz(T a) {
  return std::fabs(a) < std::numeric_limits<T>::min() ? std::copysign(T(0), a) : a;
}
template <class F>
__attribute__((noinline)) auto rounded(int mode, F&& f) {
  const int before = std::fegetround();
  std::fesetround(mode);
  const volatile auto result = f();
  std::fesetround(before);
  return decltype(f())(result);
}
template <class T>
bool unordered(T a, T b) {
  return a != a || b != b;
}

// Beyond the integer's range the nearest integer, and 0 for NaN.
template <class To, class From>
To to_integer(From x) {
  if (x != x) return 0;
  if (x >= From(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  if (x <= From(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return To(x);
}
template <class To, class From>
To convert(From x) {
  if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) {
    if constexpr (sizeof(From) == 2)
      return to_integer<To>(float(x));
    else
      return to_integer<To>(x);
  } else if constexpr (sizeof(To) == 2 && !std::is_integral_v<To>) {
    return To(float(x));
  } else {
    return To(x);
  }
}
template <class To, class From>
To convert_saturated(From x) {
  using Limits = std::numeric_limits<To>;
  if constexpr (std::is_integral_v<To> && std::is_integral_v<From>) {
    if (__int128(x) > __int128(Limits::max())) return Limits::max();
    if (__int128(x) < __int128(Limits::min())) return Limits::min();
  }
  return convert<To>(x);
}

// ---- warps

// Lanes beyond a segment keep their own value, and the predicate says so.
inline uint32_t shuffle(simt::Combine combine, uint32_t x, uint32_t argument, uint32_t clamp, uint32_t mask,
                        bool* inside, simt::Site at) {
  const int width = 32 - (clamp >> 8 & 31), lane = simt::lane(), first = lane & ~(width - 1);
  const int by = argument & 31;
  if (inside) {
    const int from = combine == simt::shuffle_up     ? lane - by
                     : combine == simt::shuffle_down ? lane + by
                     : combine == simt::shuffle_xor  ? lane ^ by
                                                     : first + (by & (width - 1));
    *inside = from >= first && from < first + width;
  }
  return uint32_t(simt::collective(combine, mask, x, by, width, at));
}

}  // namespace ptx
