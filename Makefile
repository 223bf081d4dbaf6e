# Two commands: `make run` starts a node, `make test` tests it. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-stamp
TEST_STAMP := $(VENV)/.test-stamp
LOCAL_STAMP := $(VENV)/.local-stamp
PEERS_STAMP := .venv-bench/.stamp
BCOIN_STAMP := tests/bcoin/node_modules/.stamp
NOSTR_STAMP := tests/nostr/node_modules/.stamp
RELAY_STAMP := .venv-relay/.stamp

.PHONY: help setup run local test lint style bench torture simulate timmy-verify fuzz mutate lock clean
help: ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

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

$(LOCAL_STAMP): requirements/local.txt requirements/local-build.txt tests/local.sh $(RUN_STAMP)
	@tests/local.sh

local: $(LOCAL_STAMP) ## compile what a model on this machine needs into .venv (some minutes, once)

style: $(TEST_STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

lint: style ## style, types, import direction, unused dependencies
	@tests/types.sh

$(BCOIN_STAMP): tests/bcoin/package-lock.json
	@if ! command -v npm > /dev/null; then echo "timmy: note: there is no npm: the seal chain is not tried on bcoin"; \
	  elif cd tests/bcoin && npm ci --ignore-scripts --silent --no-audit --no-fund; then touch node_modules/.stamp; \
	  else echo "timmy: note: npm could not install bcoin: the seal chain is not tried on it"; fi

# Its SQLite is compiled, with this node's own headers where they are, or fetched ready-made; where
# neither can be done its client is still tried.
$(NOSTR_STAMP): tests/nostr/package-lock.json
	@if ! command -v npm > /dev/null; then echo "timmy: note: there is no npm: Nostr is not tried with npm's relay and client"; \
	  elif cd tests/nostr && npm ci --ignore-scripts --silent --no-audit --no-fund; then \
	    nodedir=$$(dirname "$$(dirname "$$(readlink -f "$$(command -v node)")")"); \
	    if [ -e "$$nodedir/include/node/node.h" ]; then export npm_config_nodedir="$$nodedir"; fi; \
	    npm rebuild --silent better-sqlite3 || echo "timmy: note: better-sqlite3 could not be built: npm's relay is not tried"; \
	    touch node_modules/.stamp; \
	  else echo "timmy: note: npm could not install its Nostr relay and client: they are not tried"; fi

$(RELAY_STAMP): requirements/relay.txt | $(BIN)/python
	@$(BIN)/python -m venv .venv-relay
	@.venv-relay/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/relay.txt
	@touch $@

# The types are checked beside the tests, in what the two cores leave; what is wrong is said at the end.
test: style $(BCOIN_STAMP) $(NOSTR_STAMP) $(RELAY_STAMP) $(LOCAL_STAMP) ## everything CI runs
	@mkdir -p build
	@tests/system.sh
	@tests/litewitness.sh
	@tests/other_python.sh
	@tests/types.sh > build/types.log 2>&1 & types=$$!; \
	  tests/run.sh $(TESTS); tested=$$?; \
	  wait $$types || { cat build/types.log; exit 1; }; exit $$tested

$(PEERS_STAMP): requirements/bench.txt bench/peers/package-lock.json | $(BIN)/python
	@echo "timmy: installing the peers that the ledger is measured against"
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@if command -v npm > /dev/null; then cd bench/peers && npm ci --silent --no-audit --no-fund; \
	  else echo "timmy: note: there is no npm: hypercore is not measured"; fi
	@touch $@

bench: $(RUN_STAMP) $(PEERS_STAMP) $(NOSTR_STAMP) $(RELAY_STAMP) ## measure beside the peers, write docs/BENCHMARKS.md; BENCH="--quick" and others
	@$(BIN)/python -m bench $(if $(BENCH),$(BENCH),--write)

timmy-verify: $(TEST_STAMP) ## build the strangers' verifier: build/timmy-verify.pyz and its wheel
	@rm -rf build/verify && mkdir -p build/verify
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/verify attest/verify/packaging
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --target build/verify/site -r requirements/verify.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target build/verify/site build/verify/*.whl
	@$(BIN)/shiv --site-packages build/verify/site --entry-point attest.verify.__main__:main \
	  --preamble attest/verify/packaging/preamble.py --python '/usr/bin/env python3' --reproducible --output-file build/timmy-verify.pyz
	@echo "build/timmy-verify.pyz and $$(echo build/verify/*.whl)"

fuzz: $(TEST_STAMP) ## search every parser for a broken contract, SECONDS_EACH (60); keeps what it finds
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS_EACH),60)

mutate: $(TEST_STAMP) ## break the ledger's core in 4,600 ways and see which the tests notice (an hour)
	@tests/mutate.sh $(MUTANTS)

torture: $(TEST_STAMP) ## power loss, kill -9, flipped bits, full disks, clock jumps: half an hour of them
	@$(BIN)/python -m tests.torture --trials 1000 --kills 200 --seed 1 --report build/torture.json

simulate: SHELL := /bin/bash -o pipefail
simulate: $(TEST_STAMP) ## the mesh's seeded simulators whole: gossip to 1,000 nodes; jobs, voters, answers 10,000 times
	@mkdir -p build
	@for part in gossip duty voters routing majority; do echo "== $$part"; $(BIN)/python -m tests.mesh.test_$$part || exit 1; done | tee build/simulate.txt

lock: ## compile the hash-pinned requirement files again
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/test.in -o requirements/test.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/bench.in -o requirements/bench.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/relay.in -o requirements/relay.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/verify.in -o requirements/verify.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/local.in -o requirements/local.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/local-build.in -o requirements/local-build.txt
	@if command -v npm > /dev/null; then for place in bench/peers tests/bcoin tests/nostr; do \
	  (cd $$place && npm install --silent --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved) || exit 1; done; fi

clean: ## remove what make made
	@rm -rf $(VENV) .venv-bench .venv-relay bench/peers/node_modules tests/bcoin/node_modules tests/nostr/node_modules build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
