// Transposed convolution of stride 2 as four matrix products, one for each phase of the output: its even or odd rows
// and columns. All pixels of a phase meet the same weights, a half of the kernel's rows and columns, so that nothing is
// multiplied by zero, and none of the matrices is ever stored:
//
//   out[n, o, 2q + py, 2p + px] = bias[o] + sum over taps (i, j) and channels c of
//                                 weight[c, o, i, j] * input[n, c, q + dy(i), p + dx(j)]
//   taps: i = r, r + 2, ... < kernel with r = (py + padding) mod 2;   dy(i) = (py + padding - i) / 2
//
// A block makes a tile of 64 output channels x 128 pixels in the registers of 128 threads, 8 x 8 each, from tiles of 16
// channels in shared memory: 64 fused multiply-adds per four 128-bit reads. Products are of full float32, whatever
// torch allows its own convolutions (TF32 has 10 bits of fraction).
//
// Memory: each input tile is read once per tap and 64 output channels, mostly from the L2 cache. In planes, a phase
// writes every other pixel; blocks of the two phases of a row follow each other, so that L2 puts them together.
#include "conv_transpose2d.h"

#include "launch.h"
#include "vector.h"

namespace roibench::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kOuts = 64, kPixels = 128, kDepth = 16;  // of a tile: output channels, pixels, channels
constexpr int kOwn = 8;                                // output channels and pixels of a thread
constexpr int kLanes = 4;
constexpr int kPixelThreads = kPixels / kOwn;
constexpr int kPadded = kPixels + kLanes;  // rows of a tile that is written by column

}  // namespace

// Where a pixel of the phase lies.
struct PhasePixel {
  int64_t image, y, x;  // in the input; image < 0 beyond the last one
};

__device__ __forceinline__ int64_t pixels_of_phase(int64_t size, int phase) {
  return (size - phase + 1) / 2;
}

template <bool channels_last>
__global__ void __launch_bounds__(kThreads)
    conv_transpose2d_kernel(ConvTranspose2d s, const float* __restrict__ input, const float* __restrict__ weight,
                            const float* __restrict__ bias, float* __restrict__ out) {
  const int py = blockIdx.x / 2 % 2, px = blockIdx.x % 2;
  const int64_t rows = pixels_of_phase(s.out_height, py), columns = pixels_of_phase(s.out_width, px);
  const int64_t first_pixel = int64_t(blockIdx.x / 4) * kPixels, first_out = int64_t(blockIdx.y) * kOuts;
  if (first_pixel >= s.batch * rows * columns) return;
  const bool whole = s.out_channels % kLanes == 0, whole_depth = s.channels % kLanes == 0;
  const int64_t plane = s.height * s.width, out_plane = s.out_height * s.out_width;

  ROIBENCH_SHARED(pixels, PhasePixel[kPixels]);
  ROIBENCH_SHARED(weights, float[kDepth][kOuts]);
  ROIBENCH_SHARED(values, float[kDepth][kPadded]);
  {
    const int64_t pixel = first_pixel + threadIdx.x, image = pixel / (rows * columns);
    pixels[threadIdx.x] = {image < s.batch ? image : -1, pixel / columns % rows, pixel % columns};
  }
  __syncthreads();

  // Channels [c, c + 16) of the tile's pixels, moved by (dy, dx); beside the map there are zeros.
  const auto read_values = [&](int64_t c, int64_t dy, int64_t dx) {
    if constexpr (channels_last) {
      const int depth = threadIdx.x % kLanes * kLanes;
#pragma unroll
      for (int n = threadIdx.x / kLanes; n < kPixels; n += kThreads / kLanes) {
        const PhasePixel p = pixels[n];
        const int64_t y = p.y + dy, x = p.x + dx;
        const bool inside = p.image >= 0 && y >= 0 && y < s.height && x >= 0 && x < s.width;
        const float* const from = input + ((p.image * plane + y * s.width + x) * s.channels + c + depth);
        Vector<float> v = {};
        if (inside && whole_depth && c + depth < s.channels) {
          v = load_vector<kLanes>(from);
        } else if (inside) {
#pragma unroll
          for (int k = 0; k < kLanes; ++k) v.at[k] = c + depth + k < s.channels ? from[k] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < kLanes; ++k) values[depth + k][n] = v.at[k];
      }
    } else {
      const PhasePixel p = pixels[threadIdx.x];
      const int64_t y = p.y + dy, x = p.x + dx;
      const bool inside = p.image >= 0 && y >= 0 && y < s.height && x >= 0 && x < s.width;
      const float* const from = input + ((p.image * s.channels + c) * plane + y * s.width + x);
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        values[k][threadIdx.x] = inside && c + k < s.channels ? from[k * plane] : 0.0f;
      }
    }
  };
  const auto read_weights = [&](int64_t c, const float* __restrict__ of_tap) {
#pragma unroll
    for (int place = threadIdx.x * kLanes; place < kDepth * kOuts; place += kThreads * kLanes) {
      const int k = place / kOuts, o = place % kOuts;
      const float* const from = of_tap + ((c + k) * s.out_channels + first_out + o);
      Vector<float> v = {};
      if (c + k < s.channels) {
        if (whole && first_out + o < s.out_channels) {
          v = load_vector<kLanes>(from);
        } else {
#pragma unroll
          for (int lane = 0; lane < kLanes; ++lane) {
            v.at[lane] = first_out + o + lane < s.out_channels ? from[lane] : 0.0f;
          }
        }
      }
      store_vector(&weights[k][o], v);
    }
  };

  // Of a thread: 8 output channels side by side, and two times 4 pixels, so that its warp reads neighbours.
  const int own_out = threadIdx.x / kPixelThreads * kOwn, own_pixel = threadIdx.x % kPixelThreads * kLanes;
  const auto pixel_at = [&](int n) { return own_pixel + n % kLanes + n / kLanes * (kPixels / 2); };
  float sums[kOwn][kOwn] = {};
  for (int i = (py + s.padding) % 2; i < s.kernel; i += 2) {
    for (int j = (px + s.padding) % 2; j < s.kernel; j += 2) {
      const float* const of_tap = weight + (i * s.kernel + j) * s.channels * s.out_channels;
      for (int64_t c = 0; c < s.channels; c += kDepth) {
        read_values(c, (py + s.padding - i) / 2, (px + s.padding - j) / 2);
        read_weights(c, of_tap);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kDepth; ++k) {
          float w[kOwn], v[kOwn];
#pragma unroll
          for (int half = 0; half < kOwn; half += kLanes) {
            const auto w4 = load_vector<kLanes>(&weights[k][own_out + half]);
            const auto v4 = load_vector<kLanes>(&values[k][pixel_at(half)]);
#pragma unroll
            for (int lane = 0; lane < kLanes; ++lane) w[half + lane] = w4.at[lane], v[half + lane] = v4.at[lane];
          }
#pragma unroll
          for (int o = 0; o < kOwn; ++o) {
#pragma unroll
            for (int n = 0; n < kOwn; ++n) sums[o][n] = fmaf(w[o], v[n], sums[o][n]);
          }
        }
        __syncthreads();
      }
    }
  }

#pragma unroll
  for (int o = 0; o < kOwn; ++o) {
    const float b = bias != nullptr && first_out + own_out + o < s.out_channels ? bias[first_out + own_out + o] : 0.0f;
#pragma unroll
    for (int n = 0; n < kOwn; ++n) sums[o][n] += b;
  }
#pragma unroll
  for (int n = 0; n < kOwn; ++n) {
    const PhasePixel p = pixels[pixel_at(n)];
    if (p.image < 0) continue;
    const int64_t at = (2 * p.y + py) * s.out_width + 2 * p.x + px;
#pragma unroll
    for (int first = 0; first < kOwn; first += kLanes) {
      const int64_t o = first_out + own_out + first;
      if (channels_last && whole) {
        const Vector<float> four = {sums[first][n], sums[first + 1][n], sums[first + 2][n], sums[first + 3][n]};
        if (o < s.out_channels) store_vector(out + (p.image * out_plane + at) * s.out_channels + o, four);
        continue;
      }
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) {
        if (o + lane >= s.out_channels) continue;
        const int64_t place = channels_last ? (p.image * out_plane + at) * s.out_channels + o + lane
                                            : (p.image * s.out_channels + o + lane) * out_plane + at;
        out[place] = sums[first + lane][n];
      }
    }
  }
}

int conv_transpose2d(const ConvTranspose2d& shape, const float* input, const float* weight, const float* bias,
                     float* out, CUstream_st* stream) {
  const int64_t largest_phase = shape.batch * ((shape.out_height + 1) / 2) * ((shape.out_width + 1) / 2);
  const dim3 grid(unsigned((largest_phase + kPixels - 1) / kPixels * 4),
                  unsigned((shape.out_channels + kOuts - 1) / kOuts));
  const auto kernel = shape.channels_last ? conv_transpose2d_kernel<true> : conv_transpose2d_kernel<false>;
  return simt::launch(kernel, grid, kThreads, 0, stream, shape, input, weight, bias, out);
}

}  // namespace roibench::cuda
