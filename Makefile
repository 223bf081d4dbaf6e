# Two commands: `make run` starts a node, `make test` tests it. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-stamp
TEST_STAMP := $(VENV)/.test-stamp
PEERS_STAMP := .venv-bench/.stamp

.PHONY: help setup run test lint bench torture fuzz mutate lock clean
help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "timmy: error: $(PYTHON) is older than 3.11"; echo "timmy: hint: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "timmy: error: this Python has no venv module"; echo "timmy: hint: apt install python3-venv"; exit 2; }

$(RUN_STAMP): requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "timmy: installing what a node needs (hash-pinned, about a minute the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_STAMP): requirements/test.txt $(RUN_STAMP)
	@echo "timmy: installing what the tests need"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

setup: $(RUN_STAMP) ## install what a node needs into .venv
	@tests/system.sh --optional

run: setup ## birth an agent if there is none, and start it
	@$(BIN)/timmy run

lint: $(TEST_STAMP) ## style, types, import direction, unused dependencies
	@mkdir -p build
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > build/lint-imports.log 2>&1 || { cat build/lint-imports.log; exit 1; }
	@$(BIN)/deptry . 2> build/deptry.log || { cat build/deptry.log; exit 1; }

test: $(TEST_STAMP) ## everything CI runs
	@mkdir -p build
	@tests/system.sh
	@tests/other_python.sh
	@$(MAKE) --no-print-directory lint
	@tests/run.sh $(TESTS)

$(PEERS_STAMP): requirements/bench.txt bench/peers/package-lock.json | $(BIN)/python
	@echo "timmy: installing the peers that the ledger is measured against"
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@if command -v npm > /dev/null; then cd bench/peers && npm ci --silent --no-audit --no-fund; \
	  else echo "timmy: note: there is no npm: hypercore is not measured"; fi
	@touch $@

bench: $(RUN_STAMP) $(PEERS_STAMP) ## measure beside the peers, write docs/BENCHMARKS.md; BENCH="--quick" and others
	@$(BIN)/python -m bench $(if $(BENCH),$(BENCH),--write)

fuzz: $(TEST_STAMP) ## search every parser for a broken contract, SECONDS_EACH (60); keeps what it finds
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS_EACH),60)

mutate: $(TEST_STAMP) ## break the ledger's core in 1,800 ways and see which the tests notice (an hour)
	@tests/mutate.sh $(MUTANTS)

torture: $(TEST_STAMP) ## power loss, kill -9, flipped bits, full disks, clock jumps: an hour of them
	@$(BIN)/python -m tests.torture --trials 1000 --kills 200 --seed 1 --report build/torture.json

lock: ## compile the hash-pinned requirement files again
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/test.in -o requirements/test.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/bench.in -o requirements/bench.txt
	@if command -v npm > /dev/null; then cd bench/peers && npm install --silent --package-lock-only --omit-lockfile-registry-resolved; fi

clean: ## remove what make made
	@rm -rf $(VENV) .venv-bench bench/peers/node_modules build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
