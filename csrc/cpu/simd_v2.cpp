// x86-64-v2: SSE4.2, every x86 since 2009. On other machines: plain C++, with whatever they always have.
#include <new>

#include "kernels.h"

#if ROIBENCH_X86_LEVELS
#pragma GCC target("sse4.2,popcnt")
#endif
#define ROIBENCH_LEVEL v2
#define ROIBENCH_VECTOR_BYTES 16
#include "kernels/level.h"

namespace roibench {
const SimdLevel simd_v2 = {"v2",
                           v2::table<float>,
                           v2::table<double>,
                           v2::order_table<int16_t>,
                           v2::order_table<int32_t>,
                           v2::order_table<int64_t>,
                           v2::half_table};
}
