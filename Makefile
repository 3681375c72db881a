# `make test` and `make demo` do everything from a fresh clone: python3 >= 3.11 and make are all that is needed.
# The full stack with torch takes about 6 GB in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test check lint types floors docs reference wheel-test hub1-test schema coverage federated-test fuzz clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## plant, find, cleanse and publish a backdoored model, offline
	rm -rf hubclean-demo
	$(BIN)/hubclean demo --out hubclean-demo

test: $(VENV)/.ready  ## the test suite, a process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

coverage: $(VENV)/.ready  ## locate, cut and prove every classifier of timm, transformers and torchvision; ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.coverage

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

floors: $(VENV)/.ready  ## imports run strictly down the floors
	$(BIN)/lint-imports --no-cache

docs: pyproject.toml constraints.txt  ## the docs site, strictly, into site/; a venv of its own, without torch
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

reference: $(VENV)/.ready  ## the pages of docs/reference that are made from the code
	$(BIN)/python -m tools.reference

wheel-test: $(VENV)/.ready  ## build sdist and wheel; install the wheel alone, without extras, and use it
	bash tests/packaging/wheel_test.sh $(BIN)/python

hub1-test: pyproject.toml constraints.txt  ## the Hub tests under the oldest and the last huggingface-hub 1.x, base install only
	bash tests/packaging/hub1_test.sh $(PYTHON)

federated-test: pyproject.toml  ## the Flower apps, in a venv of their own: flwr and the pinned virtualenv want other versions of packaging
	$(PYTHON) -m venv .venv-federated
	.venv-federated/bin/python -m pip install --quiet --editable '.[federated]' pytest pytest-socket hypothesis psutil
	OMP_NUM_THREADS=1 .venv-federated/bin/python -m pytest tests/federated tests/lab/hostile_clients

FUZZ_SECONDS ?= 60
fuzz: pyproject.toml  ## atheris on every parser of the scan, FUZZ_SECONDS in all; inputs that crash go to fuzz-crashes/
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --editable '.[fuzz]'
	PYTHONPATH=.:tests OMP_NUM_THREADS=1 .venv-fuzz/bin/python -m benchmarks.fuzz --seconds $(FUZZ_SECONDS)

check: lint types floors test docs wheel-test hub1-test  ## everything CI runs

clean:
	rm -rf $(VENV) .venv-* dist site hubclean-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
