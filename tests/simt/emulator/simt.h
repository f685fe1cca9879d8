// CUDA for g++: what csrc/cuda/kernels/launch.h includes where nvcc doesn't compile. Each CUDA thread runs as a fiber;
// see ../README.md for what is checked and what isn't.
#pragma once

#include "atomics.h"
#include "grid.h"
#include "half.h"
#include "intrinsics.h"
#include "qualifiers.h"
#include "shared.h"
#include "synchronize.h"
#include "types.h"
