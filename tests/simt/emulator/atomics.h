// Atomic operations, relaxed as on the device: they order no other memory.
#pragma once

#include <cstdint>
#include <type_traits>

#include "half.h"
#include "synchronize.h"

namespace simt {

// In random schedules, now and then another thread runs first.
void maybe_yield();

template <class T, class F>
T read_modify_write(T* address, F&& modified) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
  maybe_yield();
  Bits* const cell = reinterpret_cast<Bits*>(address);
  Bits before = __atomic_load_n(cell, __ATOMIC_RELAXED);
  for (;;) {
    const T value = from_bits<T>(before);
    const Bits after = Bits(to_bits(T(modified(value))));
    if (__atomic_compare_exchange_n(cell, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return value;
  }
}

}  // namespace simt

// The second parameter is not deduced, so that the cell's type decides, as CUDA's overloads do.
#define SIMT_ATOMIC(name, expression)                                                 \
  template <class T>                                                                  \
  T name(T* address, std::type_identity_t<T> value) {                                 \
    return simt::read_modify_write(address, [=](T before) { return T(expression); }); \
  }
SIMT_ATOMIC(atomicAdd, before + value)
SIMT_ATOMIC(atomicSub, before - value)
SIMT_ATOMIC(atomicMin, value < before ? value : before)
SIMT_ATOMIC(atomicMax, before < value ? value : before)
SIMT_ATOMIC(atomicAnd, before& value)
SIMT_ATOMIC(atomicOr, before | value)
SIMT_ATOMIC(atomicXor, before ^ value)
SIMT_ATOMIC(atomicExch, (void(before), value))
#undef SIMT_ATOMIC
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [=](T before) { return before == expected ? value : before; });
}

inline void __threadfence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_block() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
