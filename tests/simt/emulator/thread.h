// Who runs: CUDA's built-in variables.
#pragma once

#include <source_location>

#include "types.h"

namespace simt {

// Where in the kernel's source something was called.
struct Site {
  const char* file;
  int line;
  constexpr Site(const char* file = nullptr, int line = 0) : file(file), line(line) {}
  constexpr Site(const std::source_location& at) : file(at.file_name()), line(int(at.line())) {}
  bool operator==(const Site& other) const { return file == other.file && line == other.line; }
};
// As a default argument it is the caller's.
#define SIMT_HERE std::source_location::current()

extern uint3 thread_index;  // of the thread that runs
extern uint3 block_index;
extern dim3 block_size, grid_size;
int lane();  // of the thread that runs, in its warp

// Breaks the kernel off from inside a thread: the launch returns an error that says why and where.
[[noreturn]] void fail(const char* why, Site at);

}  // namespace simt

#define threadIdx (simt::thread_index)
#define blockIdx (simt::block_index)
#define blockDim (simt::block_size)
#define gridDim (simt::grid_size)
constexpr int warpSize = 32;
