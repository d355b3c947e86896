# `make demo` and `make test` do all set-up themselves, in $(VENV).
PYTHON ?= python3
VENV ?= .venv
# CONSTRAINTS=/dev/null lets pip choose torch.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -q -n 2

# scikit-learn reads the first; two test processes share the cores as they are.
export SCIPY_ARRAY_API = 1
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow test-all lint bench clean

demo: $(READY)
	$(BIN)/python examples/plot_quickstart.py

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(READY)
	$(PYTEST) -m slow

test-all: test test-slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

# Optional peers: $(BIN)/python -m pip install -e ".[bench]"
bench: $(READY)
	$(BIN)/python benchmarks/ratios.py

clean:
	rm -rf build dist *.egg-info examples/out benchmarks/out
	rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(READY): setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) -e ".[test,dev]"
	@touch $@
