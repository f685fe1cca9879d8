// How the bindings hand a kernel's range to torch's threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace roibench {

// Items per task, so that a task has some ten microseconds of work: less is not worth waking a thread for.
inline int64_t grain(int64_t operations_per_item) {
  return std::max<int64_t>(1, 65536 / std::max<int64_t>(1, operations_per_item));
}

}  // namespace roibench
