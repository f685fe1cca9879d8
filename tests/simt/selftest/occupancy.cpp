// NVIDIA's own occupancy calculator, which needs no GPU: test_sass.py compares with it.
#include <cuda_runtime_api.h>

#include <cuda_occupancy.h>

extern "C" int resident_blocks(int major, int threads, int registers, int shared_bytes, int shared_of_multiprocessor) {
  cudaOccDeviceProp device;
  device.computeMajor = major;
  device.computeMinor = 0;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = 2048;
  device.regsPerBlock = 65536;
  device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = shared_of_multiprocessor;
  device.sharedMemPerBlockOptin = shared_of_multiprocessor - (1 << 10);
  device.reservedSharedMemPerBlock = 1 << 10;
  device.numSms = 1;
  cudaOccFuncAttributes kernel;
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.sharedSizeBytes = shared_bytes;
  kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = 1 << 20;
  kernel.numBlockBarriers = 1;
  cudaOccDeviceState state;
  state.cacheConfig = CACHE_PREFER_SHARED;
  state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
  cudaOccResult result;
  const cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, 0);
  return error ? -int(error) : result.activeBlocksPerMultiprocessor;
}
