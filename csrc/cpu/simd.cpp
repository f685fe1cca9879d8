// Which SIMD level runs: asked once, when the extension is loaded.
#include <c10/util/Exception.h>

#include <cstdlib>
#include <string_view>

#include "kernels.h"

namespace roibench {
namespace {

struct Candidate {
  const SimdLevel* level;
  bool supported;
};

const SimdLevel& choose() {
#if ROIBENCH_X86_LEVELS
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const Candidate best_first[] = {{&simd_v4, has_v4}, {&simd_v3, has_v3}, {&simd_v2, true}};
#else
  const Candidate best_first[] = {{&simd_v2, true}};
#endif
  const char* const wanted = std::getenv("ROIBENCH_SIMD");
  for (const Candidate& c : best_first) {
    if (wanted == nullptr || *wanted == '\0') {
      if (c.supported) return *c.level;
    } else if (std::string_view(wanted) == c.level->name) {
      TORCH_CHECK(c.supported, "ROIBENCH_SIMD=", wanted, ": this processor does not have it");
      return *c.level;
    }
  }
  TORCH_CHECK(false, "ROIBENCH_SIMD=", wanted, ": unknown; this build has",
              ROIBENCH_X86_LEVELS ? " v2, v3 and v4" : " v2 only");
}

}  // namespace

const SimdLevel& simd_level() {
  static const SimdLevel& level = choose();
  return level;
}

}  // namespace roibench
