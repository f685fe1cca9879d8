// Launchers of max_pool.cu: device pointers in, the launch's cudaError_t out (0 is success). Arrays are 16-byte
// aligned.
#pragma once

#include "windows.h"

namespace roibench::cuda {

// What the launcher can make use of: bins hold so many pixels that a warp had better share one; or the grids are of
// 4 x 4 or 2 x 2 bins, and each further one of half as many a side.
enum class BinsAre : int { small, large, halved_from_2, halved_from_4 };

// The largest number of each bin. I: integers of the numbers' size, which are compared in their place; infinity: its
// bits. argmax: [windows, bins, channels], or null.
template <class I>
int max_pool(const Windows& windows, BinsAre bins, I infinity, const I* input, bool pooled_channels_last, I* pooled,
             int32_t* argmax, CUstream_st* stream);

// Adds to input_grad, in any order.
template <class S, class T>
int max_pool_backward(const Windows& windows, const S* grad, bool grad_channels_last, const int32_t* argmax,
                      T* input_grad, CUstream_st* stream);

// Writes input_grad, which is channels-last, each number summed over windows and bins in their order.
template <class T>
int max_pool_backward_deterministic(const Windows& windows, const T* grad, bool grad_channels_last,
                                    const int32_t* argmax, T* input_grad, CUstream_st* stream);

}  // namespace roibench::cuda
