# Every target sets up the environment it needs; nothing has to be installed before.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Of `make kills`, for example ROUNDS=50 SEED=3.
ROUNDS ?= 200
SEED ?= 1
# For uv's --torch-backend, for example `make demo TORCH_BACKEND=cpu` installs torch without CUDA.
TORCH_BACKEND ?=

# Compiled modules are kept, also where the caller's environment says otherwise: torch is slow to import without them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test fast perf golden ci kills long wheel use_wheel versions release docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@echo "Setting up the environment in $(VENV) (a minute or two at the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		$(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) --editable '.[dev,docs]'
	@touch $@

demo: $(READY)  ## run the quick grid on the embedded data and write the report
	@$(BIN)/bench run
	@$(BIN)/bench report
	@echo "open results/report/report.html in a browser; . $(BIN)/activate puts bench on the path"

test: $(READY)  ## style, types, imports and tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

fast: $(READY)  ## the tests that take no time
	@$(BIN)/python -m pytest -m "not slow" -x

perf: $(READY)  ## the speed benchmarks, as ratios measured side by side
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks --benchmark-only -o addopts="" -k "not pixel_speed"
	@$(BIN)/python -m pytest tests/benchmarks/test_pixel_speed.py --benchmark-only -o addopts=""
	@OMP_NUM_THREADS=1 $(BIN)/bench perf --quick --baseline tests/perf.json

golden: $(READY)  ## the deviations from the original authors' code, item by item
	@$(BIN)/python -m pytest tests/methods tests/clip -m "not slow" --golden-table

ci: $(READY)  ## the regression gate: the ci grid against the committed baseline
	@rm -rf results/ci
	@$(BIN)/bench run --grid ci --store results/ci
	@$(BIN)/bench compare --grid ci --store results/ci --baseline tests/baseline.json --strict

kills: $(READY)  ## kill runs at random moments, over both schedulers, and look for what was lost
	@$(BIN)/python -m tests.kills --rounds $(ROUNDS) --seed $(SEED)

long: $(READY)  ## the tests that take minutes: faults of plugins under Ray, and more
	@$(BIN)/python -m pytest -m long

wheel: $(READY)  ## build the wheel, install it into an empty environment, and use it outside the checkout
	@rm -rf build/wheel build/venv
	@$(BIN)/uv build --quiet --wheel --python $(BIN)/python --out-dir build/wheel
	@$(MAKE) --no-print-directory use_wheel WHEEL=build/wheel

use_wheel:
	@$(BIN)/uv venv --quiet --python $(BIN)/python build/venv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python build/venv/bin/python --constraint constraints.txt \
		$(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) $(WHEEL)/*.whl
	@$(BIN)/python scripts/try_wheel.py $(CURDIR)/build/venv/bin/python

versions: $(READY)  ## the quick tests with the oldest and the newest supported packages; PYTHON=python3.13
	@$(call quick_tests,lowest-direct,-o filterwarnings=)
	@$(call quick_tests,highest)

# In an environment of its own, without the constraints; the oldest packages are those with a wheel for this Python. Beside
# what they depend on today they warn of each other, which is no fault of ours: there warnings are no errors.
define quick_tests
	echo "Quick tests with --resolution $(1)" && \
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) build/$(1) && \
	$(BIN)/uv pip install --quiet --compile-bytecode --python build/$(1)/bin/python --resolution $(1) --only-binary :all: \
		$(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) --editable '.[dev,docs]' && \
	build/$(1)/bin/python -m pytest -m "not slow" -n auto --dist loadfile --no-loadscope-reorder $(2)
endef

release: $(READY)  ## build the distributions, check them, install the wheel outside the checkout and run it
	@rm -rf dist build/venv
	@$(BIN)/uv build --quiet --python $(BIN)/python --out-dir dist
	@$(BIN)/uv tool run --quiet twine check --strict dist/*.whl dist/*.tar.gz
	@$(MAKE) --no-print-directory use_wheel WHEEL=dist
	@ls -l dist

docs: $(READY)  ## build the documentation into build/site: works from disk, and fails on a dead link
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html"

clean:  ## remove the environment and every cache (results stay)
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
