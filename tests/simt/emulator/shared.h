// Shared memory: garbage when a block begins (as on a GPU), and forbidden ground around every array, which only
// AddressSanitizer notices. A kernel that reads beyond an array gets garbage without it.
#pragma once

#include <cstddef>
#include <type_traits>

#include "thread.h"

namespace simt {

// The block's array that `declaration` declares; the same for all its threads.
void* shared_array(const void* declaration, size_t bytes, size_t alignment, Site at);
void* dynamic_shared();

// Shared addresses as PTX has them: 32 bits, counted from the beginning of the block's shared memory.
unsigned char* shared_window();

}  // namespace simt

#define ROIBENCH_SHARED(name, ...)                       \
  static const char name##_declaration = 0;              \
  using name##_type = std::type_identity_t<__VA_ARGS__>; \
  name##_type& name = *static_cast<name##_type*>(        \
      simt::shared_array(&name##_declaration, sizeof(name##_type), alignof(name##_type), SIMT_HERE))
#define ROIBENCH_DYNAMIC_SHARED(name, ...)        \
  std::type_identity_t<__VA_ARGS__>* const name = \
      static_cast<std::type_identity_t<__VA_ARGS__>*>(simt::dynamic_shared())
