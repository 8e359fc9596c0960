# Every command a contributor needs. A bare `make` lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench fab proto clean

# Flower must not phone home or install anything, and neither must Ray.
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION := 1
export RAY_USAGE_STATS_ENABLED := 0

# Models are small: a second thread on a busy core makes a step ten times as slow.
export OMP_NUM_THREADS := 1

# The first Python on PATH that is new enough and really starts.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/ready

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer on PATH; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY) ## simulate a market of merchants and open the books: who gains from learning together
	$(BIN)/fedbazaar-sim demo

test: $(READY) ## the tests that every change must pass
	$(BIN)/python -m pytest -q

test-all: $(READY) ## the slow tests too: statistics, real data, killed processes, real SuperNodes
	$(BIN)/python -m pytest -q -m ""

check: $(READY) ## format, lint, types, layers, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(READY) ## rewrite the code in the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure; results in runs/benchmarks/*.json
	$(BIN)/fedbazaar-sim benchmark --output runs/benchmarks

fab: $(READY) ## the bundle that Flower carries to merchants, in dist/
	mkdir -p dist
	cd dist && ../$(BIN)/flwr build --app ..

proto: $(READY) ## the code that client/agent/agent.proto describes, made anew
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. client/agent/agent.proto

clean: ## remove what the other targets made, except .venv
	rm -rf runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
