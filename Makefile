# `make` lists the targets. Python 3.11 or newer (on Debian and Ubuntu with python3-venv) and make are all you need.
PYTHON ?= python3
BIN := .venv/bin
# Programs are run as modules: their scripts contain the path at which they were installed.
RUN := $(BIN)/python -m
# A lock has every package. Without --no-deps pip looks for `coverage[toml]` once more, and refuses the lock on the day
# on which a newer coverage is out.
INSTALL := $(RUN) pip install --disable-pip-version-check --no-input --no-deps --require-hashes --requirement

# Variables that another project may have exported.
unexport PYTHONPATH PYTHONHOME $(filter FLASK_%,$(.VARIABLES))
ifeq ($(strip $(WEB_CONCURRENCY)),)
unexport WEB_CONCURRENCY
endif

# An environment is for one directory and one Python. It is created again when either changes.
MADE_FOR := v=$$(.venv/bin/python -V 2>&1); echo "$$(cd .venv && pwd -P), $${v%.*}"
STALE := $(shell [ -s .venv/ready ] && [ "$$(cat .venv/ready)" != "$$($(MADE_FOR))" ] && echo stale)

.DEFAULT_GOAL := help
.PHONY: help run test lint coverage conformance fuzz drills fleet browser postman tools bench format docs lock clean
.PHONY: stale

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready ## Set up what a server needs, start it, and print what to try.
	@$(RUN) flask --app wsgi prepare
	@$(BIN)/python -c $(PORT_IS_FREE)
	@exec $(RUN) gunicorn wsgi:app

test: lint ## Run every check: format, lint, types, tests, collection. A quarter of an hour.
	@echo "pytest: about a quarter of an hour; the first line comes after half a minute."
	@$(RUN) pytest

lint: .venv/ready-dev ## Check format, lint, types and spelling, in seconds.
	@$(RUN) ruff format --check
	@$(RUN) ruff check
	@$(RUN) mypy
	@$(RUN) codespell_lib

coverage: .venv/ready-dev ## Run the tests, each in one process, and measure the branches that they cover.
	@$(RUN) pytest --cov --cov-report=term:skip-covered

conformance: .venv/ready-dev ## Print which clauses of the RFCs hold; BASE_URL, CLIENT_ID and CLIENT_SECRET name another server.
	@$(RUN) conformance

fuzz: .venv/ready-dev ## Send 100,000 inputs to every route, and 5,000 requests generated from its description; `make test` does a part.
	@FUZZ_INPUTS=100000 SCHEMA_CALLS=5000 $(RUN) pytest tests/test_hostile.py tests/test_openapi.py

drills: .venv/ready-dev ## Start fleets, stop servers under load, let databases fail, move clocks, run the previous release.
	@DRILLS=1 $(RUN) pytest --drills

fleet: .venv/ready-dev ## Start two servers on PostgreSQL and Redis behind nginx, and break them: DRILL=all, or HOURS=1 of load.
	@DRILL='$(DRILL)' HOURS='$(HOURS)' $(RUN) tests.fleet

browser: .venv/ready-dev ## Use the playground in a real browser: every step, every slip, every case; `make test` does a part.
	@$(RUN) pytest --browser

postman: .venv/ready-dev ## Run the Postman collection with newman, whole and each folder alone, on both databases.
	@$(RUN) pytest --tools tests/test_collection.py

tools: .venv/ready-dev ## Run all checks with tools from npm: newman, Bruno, Insomnia, Prism, WireMock, real clients.
	@$(RUN) pytest --tools

bench: .venv/ready-dev ## Measure the cost of a request, and write docs/performance.md.
	@$(RUN) benchmarks.measure

format: .venv/ready-dev ## Format the code, and fix what the linter can fix.
	@$(RUN) ruff format
	@$(RUN) ruff check --fix

docs: .venv/ready-dev ## Write the generated documents: pages and a picture in docs/, the collection, the stubs.
	@$(RUN) tests.support.documents

LOCK := $(RUN) uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock: .venv/ready-dev ## Write both locks from pyproject.toml: names, versions, hashes.
	@$(LOCK) pyproject.toml --output-file requirements.lock
	@$(LOCK) --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean: ## Remove the environment; the data in instance/ stays.
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage

# A newer Python, if `$(PYTHON)` is too old and this machine has one.
NEWER = $(firstword $(foreach minor,14 13 12 11,$(shell command -v python3.$(minor) >/dev/null && echo python3.$(minor))))
TOO_OLD = 'import sys; sys.exit(sys.version_info < (3, 11) and "Keyturn needs Python 3.11 or newer, and this one is %d.%d: \
$(if $(NEWER),make $(MAKECMDGOALS) PYTHON=$(NEWER),install one)" % sys.version_info[:2])'
PORT_IS_FREE = 'import os, socket, sys; port = int(os.environ.get("PORT") or 8000); \
sys.exit(0 < port < 65536 and socket.socket().connect_ex(("127.0.0.1", port)) == 0 and \
"Port %d is in use. Stop the program that uses it, or choose another port: PORT=8123 make run" % port)'

.venv/ready: requirements.lock $(STALE)
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer." >&2; exit 1; }
	@$(PYTHON) -c $(TOO_OLD)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot create an environment. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv, once: about 30 packages in half a minute."
	@$(PYTHON) -m venv $(if $(STALE),--clear) .venv
	@$(INSTALL) requirements.lock || { echo "The packages could not be installed. Is there a network?" >&2; exit 1; }
	@$(MADE_FOR) > $@

.venv/ready-dev: requirements-dev.lock .venv/ready
	@echo "Adding what the checks need, once: about 75 packages in a minute."
	@$(INSTALL) requirements-dev.lock || { echo "The packages could not be installed. Is there a network?" >&2; exit 1; }
	@touch $@
