# Everything runs in .venv, which `make setup` makes. `make help` shows the verbs.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY := .venv/bin/python
UNIT := tests/unit
# The folders of slower tests, whichever exist.
SLOW := $(filter-out tests/unit tests/fakes,$(sort $(patsubst %/,%,$(dir $(wildcard tests/*/test_*.py)))))
# How many test files run at a time; 0 is one process for all of them, which -s and --pdb need.
WORKERS := 4
# The many processes of a test run would each compile the project anew.
export PYTHONDONTWRITEBYTECODE :=

SECONDS :=
RATE :=
SEED := 1
ARGS :=
KEEP :=
DEMO_FLAGS := $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE)) $(if $(KEEP),--keep)

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.kafka ## Make .venv with every extra, and fetch Kafka's jars; does nothing when that is done

# The newest Python from 3.11 on that really runs and can make virtual environments; an installed name may be a stub.
.venv/.packages: pyproject.toml constraints.txt
	@set -euo pipefail; \
	usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; \
	if ! .venv/bin/python -c "$$usable" 2> /dev/null; then \
	  for python in $$(type -aP python3.13 python3.12 python3.11 python3 || true) none; do \
	    if [ $$python = none ]; then echo "Python 3.11, 3.12 or 3.13 with venv is needed, and none was found." >&2; exit 1; fi; \
	    if $$python -c "$$usable" 2> /dev/null < /dev/null; then break; fi; \
	  done; \
	  echo "Making .venv with $$($$python --version); this takes a few minutes the first time."; \
	  $$python -m venv --clear .venv; \
	fi; \
	$(PY) -m pip install --quiet --disable-pip-version-check --no-input -e '.[dev]' -c constraints.txt
	@touch $@

.venv/.kafka: .venv/.packages
	@$(PY) -c 'from shadowbus.broker.distribution import installed; installed()'
	@touch $@

.PHONY: demo
demo: setup ## Run the whole thing on this machine and watch verdicts come (SECONDS=90 RATE=60 KEEP=1)
	@$(PY) -m shadowbus demo $(DEMO_FLAGS)

# First the files that may share the processors, then the tests that are marked `alone`, whatever came of the first. No
# test of one kind is pytest's exit code 5, and a fault only where there is none of the other kind either.
define run_tests
codes=; alone=$$(grep -rl --include='test_*.py' 'mark\.alone' $(1)); \
$(PY) -m pytest $(1) -m 'not alone' -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS) || codes+=$$?; \
[ -z "$$alone" ] || $(PY) -m pytest $$alone -m alone $(ARGS) || codes+=$$?; \
[ -z "$$codes" ] || [ "$$codes" = 5 ]
endef

.PHONY: test
test: check ## Check style and types, then run every test: unit, Kafka, demo, chaos
	@$(call run_tests,$(SLOW) $(UNIT))

.PHONY: check
check: setup ## Check format, lint and types
	@$(PY) -m ruff format --quiet --check .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy

.PHONY: unit
unit: setup ## Run the tests that need no Kafka
	@$(call run_tests,$(UNIT))

.PHONY: kafka
kafka: setup ## Run the tests against a real broker
	@$(call run_tests,tests/kafka)

.PHONY: chaos
chaos: setup ## Kill processes on the schedule of SEED=n and check every record; soak, outages, rights taken away
	@SHADOWBUS_CHAOS_SEED=$(SEED) $(PY) -m pytest -s tests/chaos $(ARGS)

.PHONY: bench
bench: setup ## Measure; writes benchmarks/results.json and benchmarks/results.md
	@$(PY) benchmarks/run.py $(ARGS)

.PHONY: bench-gate
bench-gate: setup ## Simulate the gate; writes benchmarks/gate/results.md and results.json
	@PYTHONPATH=pipeline:benchmarks $(PY) -m gate $(ARGS)

.PHONY: docs
docs: setup ## Write the generated parts of the documentation anew
	@$(PY) docs/generate.py

.PHONY: docs-site
docs-site: setup ## Build the documentation as a site in build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)
	@echo "build/site/index.html; to look at it: $(PY) -m http.server --bind 127.0.0.1 --directory build/site"

.PHONY: structure
structure: setup ## Count modules, their lines, imports between folders and circles
	@$(PY) docs/structure.py $(ARGS)

.PHONY: clean
clean: ## Remove .venv, caches and built models
	@rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist pipeline/*.egg-info models/built
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
