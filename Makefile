# Tocsin: every target sets up what it needs.
VENV := .venv
PY := $(VENV)/bin/python
JOBS ?= 2
.DEFAULT_GOAL := help

.PHONY: help setup check quick test wheel clean

help: ## show these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(VENV)/.stamp ## virtual environment with Tocsin and its test tools

$(VENV)/.stamp: pyproject.toml hatch_build.py scripts/python.sh
	bash scripts/python.sh $(VENV)
	$(PY) -m pip install -q --upgrade "pip>=25.1"
	$(PY) -m pip install -q -e ".[postgres,apprise]" --group dev
	touch $@

check: setup ## format, lint, types, import rules
	$(VENV)/bin/ruff format --check src tests hatch_build.py
	$(VENV)/bin/ruff check src tests hatch_build.py
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

quick: setup ## the tests of two minutes
	$(VENV)/bin/pytest -n $(JOBS) -m "not slow and not real and not browser and not soak"

test: check ## every check and every test
	$(VENV)/bin/pytest -n $(JOBS) -m "not soak"

wheel: setup ## build the wheel into dist/
	$(PY) -m build --wheel

clean: ## remove what the targets made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
