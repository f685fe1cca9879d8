// x86-64-v4: AVX-512, Intel servers since 2017 and AMD since 2022.
#include <new>

#include "kernels.h"

#if ROIBENCH_X86_LEVELS
#pragma GCC target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,fma,bmi,bmi2,lzcnt,movbe,f16c,prefer-vector-width=512")
#define ROIBENCH_LEVEL v4
#define ROIBENCH_VECTOR_BYTES 64
#include "kernels/level.h"

namespace roibench {
const SimdLevel simd_v4 = {"v4",
                           v4::table<float>,
                           v4::table<double>,
                           v4::order_table<int16_t>,
                           v4::order_table<int32_t>,
                           v4::order_table<int64_t>,
                           v4::half_table};
}
#endif
