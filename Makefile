# Needs Python 3.11 to 3.13, make and a network. `make quickstart` and `make test` are all that a fresh machine takes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: quickstart test test-all lint format benchmark benchmark-accuracy peers clean

quickstart: $(VENV)/.ready
	$(BIN)/forecast quickstart

test: $(VENV)/.ready-test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" --durations 30

# The long sweeps, too, and a Ray cluster of this machine.
test-all: $(VENV)/.ready-all
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All but the one below, which takes hours.
benchmark: $(VENV)/.ready-test
	for file in $(filter-out benchmarks/_% benchmarks/peer_% benchmarks/accuracy.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

# Accuracy beside other libraries, from the start: writes the table in benchmarks/README.md.
benchmark-accuracy: $(VENV)/.ready-test .venv-peers/.ready
	$(BIN)/python benchmarks/accuracy.py --fresh --peers

# Other libraries, to be measured beside; they ask for older pandas, so they have an environment of their own.
peers: .venv-peers/.ready

.venv-peers/.ready: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	touch $@

clean:
	rm -rf $(VENV) .venv-peers build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.ready: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.ready-all: $(VENV)/.ready-test
	$(BIN)/python -m pip install --quiet --editable ".[test,ray]"
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-test
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
