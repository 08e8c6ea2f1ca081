# Everything a newcomer or a CI needs: an environment in .venv, made once, and what runs in it.
#   PYTHON       the Python to make .venv with (3.11 or newer; found when not given)
#   TORCH_INDEX  the package index that torch comes from (the default index when not given);
#                PyTorch's own CPU index is https://download.pytorch.org/whl/cpu
#   PYTEST_ARGS  more arguments for pytest, as in: make test PYTEST_ARGS="-k geometry -x"

comma := ,
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)

# Idle OpenMP threads that spin cost torch a factor of five when something else wants the cores.
export OMP_WAIT_POLICY = passive
# What builds the package is pinned like the rest; older pips know the first name, newer ones the second.
export PIP_CONSTRAINT = $(abspath constraints.txt)
export PIP_BUILD_CONSTRAINT = $(abspath constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check web web-check sanitize clean

help: ## this list
	@echo "make ..."
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.has-shrink ## a network made twenty times smaller, on the embedded data, in minutes
	@$(BIN)/python examples/demo.py

# One thread a worker: tests run beside each other instead of sharing the cores within.
test: $(VENV)/.has-shrink-onnx-test ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(PYTEST_ARGS)

test-slow: $(VENV)/.has-shrink-onnx-test ## the tests that take minutes each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile $(PYTEST_ARGS)

check: $(VENV)/.has-shrink-onnx-test-check ## formatting, lint, types, and the map of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

web: web/node_modules/.made ## the explainer page from its sources in web/ (Node 20 or newer)
	cd web && npm run --silent check && npm run --silent build

# The page in the package is made from the sources beside it, to the byte.
web-check: web/node_modules/.made ## that the explainer page is what its sources make
	cd web && npm run --silent check && npm test --silent >/dev/null && npm run --silent build -- ../build/explain.html
	cmp build/explain.html striate/report/explain.html || { echo "striate/report/explain.html is not what web/ makes: make web, and commit it" >&2; exit 1; }

web/node_modules/.made: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --silent
	@touch $@

# Layers that the driver makes up; the thread sanitizer is slow, and does not follow a fork.
SANITIZE = cmake -S csrc -B build/$(1) -DSTRIATE_DRIVER=ON -DSTRIATE_SANITIZE=$(2) -DCMAKE_BUILD_TYPE=Release && \
	cmake --build build/$(1) --target driver --parallel && build/$(1)/driver

sanitize: ## the kernels under the address, undefined-behaviour and thread sanitizers (g++ or clang++, cmake)
	$(call SANITIZE,sanitize-address,address$(comma)undefined) 100
	$(call SANITIZE,sanitize-thread,thread) 40 no-fork

clean: ## remove .venv, what was built and what tools cached
	rm -rf $(VENV) build web/node_modules .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache

# ---- the environment -------------------------------------------------------------------------
# .has-A-B: striate is installed with the extras A and B. Each is a file written when pip is done,
# so a second call installs nothing, and an interrupted one is taken up again.

find_python = $(shell sh tools/find_python.sh $(PYTHON))

$(VENV)/.made:
	$(eval FOUND := $(find_python))
	$(if $(filter !,$(FOUND)),$(error $(wordlist 2,99,$(FOUND))))
	@echo "striate: making $(VENV) with $(FOUND)"
	@$(FOUND) -m venv $(VENV)
	@touch $@

$(VENV)/.has-torch: $(VENV)/.made constraints.txt
	@echo "striate: downloading what pip has not cached: about 0.4 GB with the CPU build of torch,"
	@echo "striate: about 3 GB with the CUDA build that an index may serve under the same version."
	@$(if $(TORCH_INDEX),,echo "striate: to name the index for torch: make TORCH_INDEX=https://download.pytorch.org/whl/cpu")
	@$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q --no-deps --index-url $(TORCH_INDEX) "$(TORCH)",:)
	@touch $@

$(VENV)/.has-%: $(VENV)/.has-torch pyproject.toml constraints.txt $(wildcard csrc/*)
	@echo "striate: installing striate[$(subst -,$(comma),$*)] into $(VENV)"
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(subst -,$(comma),$*)]"
	@touch $@
