// Launcher of conv_transpose2d.cu: device pointers in, the launch's cudaError_t out (0 is success).
#pragma once

#include <cstdint>

struct CUstream_st;

namespace roibench::cuda {

// A transposed convolution of stride 2 with a square kernel, one group and no dilation.
struct ConvTranspose2d {
  int64_t batch, channels, height, width;  // of the input
  int64_t out_channels, out_height, out_width;
  int kernel, padding;
  bool channels_last;  // input and output, in memory
};

// input and out: 16-byte aligned. weight: [kernel, kernel, channels, out_channels]. bias: [out_channels], or null.
int conv_transpose2d(const ConvTranspose2d& shape, const float* input, const float* weight, const float* bias,
                     float* out, CUstream_st* stream);

}  // namespace roibench::cuda
