#include "../shared.h"

#include <algorithm>

#include "block.h"
#include "shared_limits.h"

namespace simt {
namespace {

// Room for the arrays, with forbidden ground between them; then room for dynamic shared memory.
constexpr size_t kForbidden = 64;
constexpr size_t kStatic = 128 << 10;
constexpr size_t kWindow = kStatic + kMaxShared + kForbidden;
constexpr int kMaxArrays = 64;

struct Array {
  const void* declaration;
  unsigned char* at;
};

Region& window() {
  static Region region(kWindow);
  return region;
}
Array arrays[kMaxArrays];
int declared = 0;
size_t used = 0, declared_bytes = 0, dynamic_bytes = 0;

// Not memset, which ThreadSanitizer would take for the running thread's write.
void fill(unsigned char* from, size_t bytes) {
  volatile unsigned char* const to = from;
  for (size_t i = 0; i < bytes; ++i) to[i] = schedule.garbage();
}

}  // namespace

void begin_shared(size_t dynamic) {
  Region& memory = window();
  memory.reset(0, used);
  memory.reset(kStatic, std::max(dynamic, dynamic_bytes));
  declared = 0;
  used = declared_bytes = 0;
  dynamic_bytes = dynamic;
  Region::allow(memory.data(), kWindow);
  fill(memory.data() + kStatic, dynamic + kForbidden);
  Region::forbid(memory.data(), kWindow);
  Region::allow(memory.data() + kStatic, dynamic);
}

const char* end_shared() {
  if (declared_bytes + dynamic_bytes > kMaxShared) return "more shared memory than an sm_80 block can have (163 KB)";
  if (dynamic_bytes <= kSharedWithoutAsking && declared_bytes + dynamic_bytes > kSharedWithoutAsking) {
    return "arrays and dynamic shared memory together exceed 48 KB; only dynamic memory may, when it does so alone";
  }
  return nullptr;
}

void* shared_array(const void* declaration, size_t bytes, size_t alignment, Site at) {
  for (int i = 0; i < declared; ++i) {
    if (arrays[i].declaration == declaration) return arrays[i].at;
  }
  const size_t begin = (used + kForbidden + alignment - 1) / alignment * alignment;
  if (declared == kMaxArrays || declared_bytes + bytes > kSharedWithoutAsking || begin + bytes + kForbidden > kStatic) {
    fail("more than 48 KB of shared arrays, or too many", at);
  }
  unsigned char* const memory = window().data() + begin;
  Region::allow(memory, bytes);
  fill(memory, bytes);
  arrays[declared++] = {declaration, memory};
  used = begin + bytes;
  declared_bytes += bytes;
  return memory;
}

void* dynamic_shared() {
  return window().data() + kStatic;
}

unsigned char* shared_window() {
  return window().data();
}

}  // namespace simt
