# `make demo` and `make test` do all set-up themselves, in $(VENV).
ifeq ($(OS),Windows_NT)
PYTHON ?= python
SCRIPTS := Scripts
else
PYTHON ?= python3
SCRIPTS := bin
endif
VENV ?= .venv
# CONSTRAINTS=/dev/null lets pip choose torch.
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/$(SCRIPTS)
READY := $(VENV)/.ready
DOC_READY := $(VENV)/.ready-doc
FLOORS := $(VENV)-floors
WHEEL := $(VENV)-wheel
# What older versions can break: scikit-learn's checks, tables, callbacks and files, all
# that estimators answer (tests/test_place_in_batch.py calls every method of each), and
# what leans on scikit-learn's or skorch's own code.
FLOOR_TESTS := tests/test_common.py tests/test_ecosystem.py \
	tests/test_ecosystem_callbacks.py tests/test_place_in_batch.py \
	tests/test_validation.py tests/persistence/test_files.py \
	tests/training/test_training.py tests/em/test_em.py \
	tests/compose/test_transformed.py tests/mixture/test_as_scikit_learn.py \
	tests/mixture/test_gaussian_mixture.py
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal

# scikit-learn reads the first; two test processes share the cores as they are.
export SCIPY_ARRAY_API = 1
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-floors test-slow test-all run-quick run-all ready \
	environments lint doc linkcheck wheel-check bench clean

demo: $(READY)
	$(BIN)/python examples/plot_quickstart.py

# With `make -j` lint, which keeps one core busy, runs beside the tests.
test: lint run-quick

run-quick: $(READY)
	$(PYTEST) -m "not slow"

# The oldest supported versions, in an environment of their own.
test-floors: $(FLOORS)/.ready
	$(FLOORS)/$(SCRIPTS)/python -m pytest -q -n 2 --dist worksteal -m "not slow" \
		$(FLOOR_TESTS)

test-slow: $(READY)
	$(PYTEST) -m slow

test-all: lint run-all

run-all: $(READY)
	$(PYTEST)

ready: $(READY)

# That of the oldest versions takes long to fetch and few CPU seconds.
environments: $(READY) $(FLOORS)/.ready

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# The site, in doc/_build/html: snippets are run, the gallery is drawn, and a warning
# or a reference that leads nowhere is an error. Needs no network.
doc: $(DOC_READY)
	$(PYTEST) doc
	$(BIN)/python -m sphinx -W --keep-going -b html doc doc/_build/html

# Links to other sites; needs the network, and they may be down.
linkcheck: $(DOC_READY)
	$(BIN)/python -m sphinx -b linkcheck doc doc/_build/linkcheck

# What will be released, in dist/: built, looked at, installed where nothing else is,
# and used; then once more without torch and skorch.
wheel-check:
	rm -rf build dist $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/$(SCRIPTS)/python -m pip install -q build twine
	$(WHEEL)/$(SCRIPTS)/python -m build
	$(WHEEL)/$(SCRIPTS)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear $(WHEEL)
	$(WHEEL)/$(SCRIPTS)/python -m pip install -q -c $(CONSTRAINTS) \
		"$$(echo dist/*.whl)[io,plot]"
	$(WHEEL)/$(SCRIPTS)/python tests/smoke.py
	$(WHEEL)/$(SCRIPTS)/python -m pip uninstall -q -y torch skorch
	$(WHEEL)/$(SCRIPTS)/python tests/smoke.py

# Optional peers: $(BIN)/python -m pip install -e ".[bench]"
bench: $(READY)
	$(BIN)/python -m benchmarks.speed.ratios

clean:
	rm -rf build dist *.egg-info examples/out benchmarks/out
	rm -rf doc/_build doc/auto_examples doc/generated
	rm -rf .pytest_cache .ruff_cache .import_linter_cache .mypy_cache .hypothesis
	find . -path './$(VENV)*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile -c $(CONSTRAINTS) -e ".[test,dev]"
	@touch $@

$(FLOORS)/.ready: pyproject.toml constraints.txt tests/floors.txt
	$(PYTHON) -m venv $(FLOORS)
	$(FLOORS)/$(SCRIPTS)/python -m pip install -q --no-compile -c $(CONSTRAINTS) \
		-r tests/floors.txt -e .
	@touch $@

$(DOC_READY): $(READY)
	$(BIN)/python -m pip install -q --no-compile -c $(CONSTRAINTS) -e ".[plot,doc]"
	@touch $@
