# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA ?=
DEMO_DIR ?= demo-output

.DEFAULT_GOAL := help
.PHONY: help install dev demo test check lint types house nightly bench soak lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); sys.exit(None if ok else "DoseAtlas needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "Installing DoseAtlas into $(VENV) (locked versions) ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the test tools into $(VENV) (locked versions) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.runtime  ## make .venv with .venv/bin/doseatlas

dev: $(VENV)/.dev  ## the same with the test tools

demo: $(VENV)/.runtime  ## from dose objects to the report: made-up ones, or DATA=folder of your own
	@$(if $(DATA),,$(BIN)/doseatlas demo-world --output $(DEMO_DIR)/world)
	@$(BIN)/doseatlas demo $(if $(DATA),"$(DATA)") --output $(DEMO_DIR)

test: $(VENV)/.dev  ## run the tests
	@$(BIN)/python -m pytest -q -n 2 -m "not nightly"

check: lint types house  ## style, types and the floors of the house

lint: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

house: $(VENV)/.dev
	@$(BIN)/lint-imports

nightly: $(VENV)/.dev  ## the long forms of the tests
	@$(BIN)/python -m pytest -q -n 2

bench: $(VENV)/.dev  ## measure speed and memory, as ratios, into benchmarks/results.md
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.dev  ## ten minutes (SOAK_MINUTES=60: an hour) of receiving at full rate, the service killed again and again
	@$(BIN)/python -m benchmarks.soak

lock: $(VENV)/.dev  ## resolve the dependencies anew
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build -o requirements/runtime.txt --upgrade
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build --group dev --all-extras -c requirements/runtime.txt -o requirements/dev.txt --upgrade

clean:  ## remove everything that these commands made
	rm -rf $(VENV) $(DEMO_DIR) benchmarks/work .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
