// A launch: every block of the grid, one after another, every thread of a block as a fiber.
#pragma once

#include <cstddef>
#include <utility>

#include "types.h"

namespace simt {

// A kernel with its parameters, so that nvcc's translated PTX can take the place of g++'s code.
struct Call {
  void* kernel;
  void (*invoke)(void* kernel, void** parameters);
  void** parameters;
};

// 0, or the cudaError_t that the GPU would have returned; simt_error() then says what was wrong.
int run(const Call& call, dim3 grid, dim3 block, size_t shared_bytes);

template <class... Parameters, size_t... I>
void invoke(void* kernel, void** parameters, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(Parameters...)>(kernel)(*static_cast<Parameters*>(parameters[I])...);
}

template <class... Parameters>
int launch_exactly(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   Parameters... parameters) {
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&parameters))..., nullptr};
  const auto call = [](void* k, void** p) { invoke<Parameters...>(k, p, std::index_sequence_for<Parameters...>()); };
  return run({reinterpret_cast<void*>(kernel), call, addresses}, grid, block, shared_bytes);
}

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
           Arguments... arguments) {
  return launch_exactly<Parameters...>(kernel, grid, block, shared_bytes, static_cast<Parameters>(arguments)...);
}

inline int multiprocessors() {
  return 1;
}

// Code that takes the place of the kernel with this mangled name.
using Translated = void (*)(void** parameters);
struct Replacement {
  Replacement(const char* kernel, Translated code, unsigned most_threads);
};

}  // namespace simt

extern "C" {
// Schedule and garbage of the launches to come: 0 first come first served, 1 last come first served (blocks from the
// last to the first too), from 2 on random.
void simt_seed(unsigned seed);
const char* simt_error();
}
