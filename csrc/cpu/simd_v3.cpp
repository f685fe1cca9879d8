// x86-64-v3: AVX2, Intel since 2013 and AMD since 2015.
#include <new>

#include "kernels.h"

#if ROIBENCH_X86_LEVELS
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,movbe,f16c")
#define ROIBENCH_LEVEL v3
#define ROIBENCH_VECTOR_BYTES 32
#include "kernels/level.h"

namespace roibench {
const SimdLevel simd_v3 = {"v3",
                           v3::table<float>,
                           v3::table<double>,
                           v3::order_table<int16_t>,
                           v3::order_table<int32_t>,
                           v3::order_table<int64_t>,
                           v3::half_table};
}
#endif
