#include "../grid.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <string>

#include "block.h"
#include "shared_limits.h"

namespace simt {
namespace {

constexpr int kInvalidConfiguration = 9, kLaunchFailure = 719;  // of cudaError_t

std::string error;
unsigned seed = 0;
const Call* call = nullptr;
alignas(8) char end_cell[8];

struct Code {
  Translated run;
  unsigned most_threads;
};
std::map<std::string, Code>& replacements() {
  static std::map<std::string, Code> of_kernel;
  return of_kernel;
}
Translated replacement = nullptr;

std::string name_of(void* kernel) {
  Dl_info info;
  return dladdr(kernel, &info) && info.dli_sname ? info.dli_sname : "";
}

void run_thread() {
  if (replacement) {
    replacement(call->parameters);
  } else {
    call->invoke(call->kernel, call->parameters);
  }
}

int refuse(int code, const std::string& why) {
  const std::string name = name_of(call->kernel);
  char* const readable = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr);
  error = (readable ? readable : name) + ": " + why;
  free(readable);
  return code;
}

// Finds nvcc's code for the kernel, where this library has nvcc's code at all.
const char* find_replacement(unsigned threads) {
  replacement = nullptr;
  if (replacements().empty()) return nullptr;
  const auto found = replacements().find(name_of(call->kernel));
  if (found == replacements().end()) {
    return "not among the translated kernels: does it have external linkage, and is it a kernel in a .cu file?";
  }
  if (threads > found->second.most_threads) return "more threads in the block than __launch_bounds__ allows";
  replacement = found->second.run;
  return nullptr;
}

}  // namespace

Replacement::Replacement(const char* kernel, Translated code, unsigned most_threads) {
  replacements()[kernel] = {code, most_threads};
}

int run(const Call& launched, dim3 grid, dim3 size, size_t shared_bytes) {
  call = &launched;
  error.clear();
  const size_t threads = size_t(size.x) * size.y * size.z;
  const size_t blocks = size_t(grid.x) * grid.y * grid.z;
  if (threads == 0 || threads > kMaxThreads || size.z > 64) {
    return refuse(kInvalidConfiguration, "a block has 1 to 1024 threads, at most 64 along z");
  }
  if (blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    return refuse(kInvalidConfiguration,
                  "a grid has at least one block, and at most 2^31 - 1, 65535 and 65535 along x, y, z");
  }
  if (shared_bytes > kMaxShared) return refuse(kInvalidConfiguration, "more than 163 KB of dynamic shared memory");
  if (const char* why = find_replacement(threads)) return refuse(kInvalidConfiguration, why);

  schedule = Schedule(seed);
  block_size = size;
  grid_size = grid;
  std::string failure;
  const char* excess = nullptr;
  for (size_t ordinal = 0; ordinal < blocks && failure.empty() && excess == nullptr; ++ordinal) {
    const size_t i = schedule.blocks_backwards() ? blocks - 1 - ordinal : ordinal;
    block_index = {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)};
    begin_shared(shared_bytes);
    failure = block.run(&run_thread, size, schedule, end_cell);
    excess = end_shared();
  }
  Ordering::receive_host(end_cell);  // what follows comes after the kernel
  if (!failure.empty()) return refuse(kLaunchFailure, failure);
  return excess ? refuse(kInvalidConfiguration, excess) : 0;
}

}  // namespace simt

extern "C" {
void simt_seed(unsigned value) {
  simt::seed = value;
}
const char* simt_error() {
  return simt::error.c_str();
}
}
