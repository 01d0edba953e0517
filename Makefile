# `make` lists what there is. Nothing but Python 3.11 or newer and make is needed.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test conformance fuzz drills bench format docs lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready ## Set up everything, start the server, and print what to try.
	@$(BIN)/flask prepare
	@exec $(BIN)/gunicorn wsgi:app

test: .venv/ready ## Set up everything, and run every check: format, lint, types, tests, collection.
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/pytest

conformance: .venv/ready ## Print which clauses of the RFCs hold; BASE_URL, CLIENT_ID and CLIENT_SECRET name another server.
	@$(BIN)/python -m conformance

fuzz: .venv/ready ## Throw 100,000 inputs at every route, and 5,000 calls made from its description; `make test` does a part.
	@KEYTURN_FUZZ_INPUTS=100000 KEYTURN_SCHEMA_CALLS=5000 $(BIN)/pytest tests/test_hostile.py tests/test_openapi.py

drills: .venv/ready ## Start fleets, stop servers under load, and let databases fail.
	@KEYTURN_PROXY_ROUNDS=200 $(BIN)/pytest tests/test_drills.py tests/test_sockets.py tests/test_proxies.py

bench: .venv/ready ## Measure what a request costs, and write docs/performance.md.
	@$(BIN)/python -m benchmarks.measure

format: .venv/ready ## Format the code, and mend what the linter can mend.
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

docs: .venv/ready ## Write what is made from tables: two pages of docs/, and the Postman collection.
	@$(BIN)/python -m tests.documents

lock: .venv/ready ## Write requirements.lock from pyproject.toml: names, versions, hashes.
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean: ## Remove the environment; the data in instance/ stays.
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keyturn needs Python 3.11 or newer: make PYTHON=python3.12")'
	@echo "Setting up .venv, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@
