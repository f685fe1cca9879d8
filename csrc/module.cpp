// The Python module roibench._C. Loading it registers the operators; its functions tell what was built and what runs.
#include <ATen/Parallel.h>
#include <pybind11/pybind11.h>
#include <torch/version.h>

#include <string>

#include "cpu/kernels.h"
#include "torchvision.h"

namespace py = pybind11;

namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("Clang ") + __clang_version__;
#elif defined(__GNUC__)
  return std::string("GCC ") + __VERSION__;
#else
  return "unknown";
#endif
}

py::dict build_info() {
  py::dict info;
  info["compiler"] = compiler();
  info["cpp_standard"] = __cplusplus / 100 % 100;
  info["torch"] = TORCH_VERSION;
#if defined(ROIBENCH_CUDA_VERSION)
  info["cuda"] = true;
  info["cuda_version"] = ROIBENCH_CUDA_VERSION;
  info["cuda_archs"] = ROIBENCH_CUDA_ARCHS;
  info["cuda_missing"] = py::none();
#else
  info["cuda"] = false;
  info["cuda_version"] = py::none();
  info["cuda_archs"] = py::none();
  info["cuda_missing"] = ROIBENCH_CUDA_MISSING;
#endif
#if ROIBENCH_X86_LEVELS
  info["simd_levels"] = py::make_tuple("v2", "v3", "v4");
#else
  info["simd_levels"] = py::make_tuple("v2");
#endif
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled operators of RoIBench";
  roibench::simd_level();  // a wrong ROIBENCH_SIMD fails here, and not in the first operator
  m.def("build_info", &build_info, "Compiler, C++ standard, torch, CUDA and SIMD levels that this extension has");
  m.def("simd_level", [] { return roibench::simd_level().name; }, "The SIMD level that runs: v2, v3 or v4");
  m.def("open_torchvision", &roibench::open_torchvision, py::call_guard<py::gil_scoped_release>(),
        "Puts these kernels behind torchvision's, as long as calls of this outnumber those of close_torchvision");
  m.def("close_torchvision", &roibench::close_torchvision);
  m.def("num_threads", [] { return at::get_num_threads(); }, "Threads that operators use, as set in torch");
}
