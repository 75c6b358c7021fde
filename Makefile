# Everything that a person or a machine does with this repository. `make help` lists it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/portal-gateway: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test: $(BIN)/portal-gateway
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

.PHONY: demo
demo: $(BIN)/portal-gateway ## a sample work-order system behind the gateway, with links to click; Ctrl-C ends it
	@$(BIN)/portal-gateway demo

.PHONY: system
system:
	@sh tests/install-system-packages

.PHONY: test
test: system $(VENV)/.test ## every test (starts its own Redis, PostgreSQL, mail server and Chromium)
	$(BIN)/python -m pytest

.PHONY: check
check: $(VENV)/.test ## ruff and mypy --strict, both clean
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

CATALOGUES := gateway/languages/catalogues
PO_FORM := --no-wrap --ignore-obsolete --ignore-pot-creation-date --no-fuzzy-matching

.PHONY: messages
messages: $(VENV)/.test ## bring the translations' catalogues up to date with the sentences in the code
	$(BIN)/pybabel --quiet extract --mapping-file pyproject.toml --project portal-gateway --no-location \
		--sort-output --no-wrap --output-file $(VENV)/messages.pot gateway
	@for each in $(CATALOGUES)/*.po; do \
		$(BIN)/pybabel --quiet update $(PO_FORM) --input-file $(VENV)/messages.pot \
			--output-file $$each --locale $$(basename $$each .po) || exit 1; done

.PHONY: bench
bench: system $(VENV)/.test ## the figures of docs/performance.md (takes some minutes)
	$(BIN)/python -m tests.bench

.PHONY: mutants
mutants: $(VENV)/.test ## mutations of rules, gates and throttles that no test notices (some minutes)
	nice $(BIN)/mutmut run
	$(BIN)/mutmut results

.PHONY: clean
clean: ## remove what the targets above made
	rm -rf $(VENV) .venv-systems mutants tests/artefacts build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
