# install: everything into .venv   check: the quick round   test: all of it
# demo: a comment becomes a pull request, on loopback   bench: the numbers in BENCHMARKS.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: install lint check test demo bench lock clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml .ci/bootstrap
	@echo "Installing into $(VENV): some 200 MB, about a minute."
	PYTHON="$(PYTHON)" sh .ci/bootstrap $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(PYTEST) -m "not slow"

test: install
	@echo "Pictures of the pages go to build/screenshots."
	$(PYTEST)

# PROMPT=… and SANDBOX=… reach the program in its environment, as make hands on its command line's variables.
demo: install
	@$(BIN)/python -m tests.demo

bench: install
	$(BIN)/python -m tests.bench

lock:
	sh .ci/lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
