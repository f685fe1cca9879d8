// Launchers of max_pool.cu: device pointers in, the launch's cudaError_t out (0 is success). Arrays are 16-byte
// aligned.
#pragma once

#include "windows.h"

namespace roibench::cuda {

// The largest number of each bin. I: integers of the numbers' size, which are compared in their place; infinity: its
// bits. by_warp: bins hold so many pixels that a warp shares them. argmax: [windows, bins, channels], or null.
template <class I>
int max_pool(const Windows& windows, bool by_warp, I infinity, const I* input, bool pooled_channels_last, I* pooled,
             int32_t* argmax, CUstream_st* stream);

// Adds to input_grad, in any order.
template <class T>
int max_pool_backward(const Windows& windows, const T* grad, bool grad_channels_last, const int32_t* argmax,
                      T* input_grad, CUstream_st* stream);

// Writes input_grad, which is channels-last, each number summed over windows and bins in their order.
template <class T>
int max_pool_backward_deterministic(const Windows& windows, const T* grad, bool grad_channels_last,
                                    const int32_t* argmax, T* input_grad, CUstream_st* stream);

}  // namespace roibench::cuda
