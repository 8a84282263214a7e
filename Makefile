# Every target sets up what it needs; `make` alone lists them.
VENV := .venv
PY := $(VENV)/bin/python
JOBS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))
SEEDS ?= 1000
SCENARIO ?=
QUICK := not slow and not real and not browser and not soak
PACKAGE := pyproject.toml hatch_build.py

# A virtual environment that was copied or moved is made anew: it records its own place.
ifneq ($(wildcard $(VENV)/.place),)
ifneq ($(shell cat $(VENV)/.place),$(shell pwd -P)/$(VENV))
MOVED := moved
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup run check quick test soak bench simulate wheel clean moved

help: ## list the targets
	@echo "make TARGET:"
	@sed -nE 's/^([a-z]+):[^#]*## (.*)$$/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(VENV)/.dev ## virtual environment with the test tools, and the programs that tests run beside Tocsin
	@scripts/setup-system.sh test

run: $(VENV)/.runtime ## start Tocsin with a small demonstration, in the foreground; needs Python and nothing else
	$(PY) -m tocsin.cli serve --demo

check: $(VENV)/.dev ## format, lint, types, import rules, each to its end; under a minute
	@failed=; \
	for tool in "$(PY) -m ruff format --check ." "$(PY) -m ruff check ." "$(PY) -m mypy" "$(VENV)/bin/lint-imports"; do \
		echo "$$tool"; $$tool || failed="$$failed$${failed:+, }$${tool#$(VENV)/bin/}"; \
	done; \
	if [ -n "$$failed" ]; then echo "not clean: $$failed" >&2; exit 1; fi

quick: $(VENV)/.dev ## the tests of two minutes: nothing slow, no browser, no real peers
	$(PY) -m pytest -m "$(QUICK)" -n $(JOBS)

test: setup ## everything: checks and all suites, each with its time; under 20 minutes
	$(PY) scripts/run_suites.py --jobs $(JOBS)

soak: setup ## hours of faults, for a machine of its own
	$(PY) -m pytest -m soak --timeout 0

bench: $(VENV)/.dev ## measure beside Alertmanager and nginx
	@scripts/setup-system.sh bench
	$(PY) -m bench $(SCENARIO)

simulate: $(VENV)/.dev ## SEEDS random histories (make simulate SEEDS=5000) through the engine, each replayable by its seed
	$(PY) tests/simulation/simulate.py --seeds $(SEEDS) --jobs $(JOBS)

wheel: $(VENV)/.dev ## build dist/tocsin-*.whl
	$(PY) -m build --wheel

clean: ## remove what the targets made; data folders stay
	rm -rf $(VENV) dist build src/tocsin/web/static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.dev: $(PACKAGE) $(MOVED)
	@scripts/setup-venv.sh $(VENV) dev

$(VENV)/.runtime: $(PACKAGE) $(MOVED)
	@scripts/setup-venv.sh $(VENV) runtime

moved:
