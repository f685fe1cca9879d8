// How a launch opens and closes a block's shared memory.
#pragma once

#include <cstddef>

namespace simt {

constexpr size_t kSharedWithoutAsking = 48 << 10;
constexpr size_t kMaxShared = 163 << 10;  // of a block, on sm_80; sm_90 has 227 KB

void begin_shared(size_t dynamic_bytes);
const char* end_shared();  // what the block asked too much of, or null

}  // namespace simt
