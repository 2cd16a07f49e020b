# `make demo` trains a small model and opens traintop on it; `make test` runs every check.
# Both set up what they need in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install check lint types layers pytest picture clean

demo: install
	$(BIN)/traintop demo $(ARGS)

test: check pytest

check: lint types layers

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "traintop needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch]' --group dev
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy
	$(BIN)/pyright

layers: install
	$(BIN)/lint-imports

pytest: install
	$(BIN)/python -m pytest -n 2 $(ARGS)

# The pictures of the README, from a real run.
picture: install
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
