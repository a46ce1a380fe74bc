.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make test`, `make demo` and `make bench` hand on, e.g. make test ARGS="tests/broker -x".
ARGS ?=
# How many processes share the tests. More than processors, because most tests wait; 0: only one.
WORKERS ?= 4
# First and end of the range of seeds, and how many processes play them.
SEEDS ?= 0:1000
JOBS ?= 2
# Tests start thousands of Python processes: none is to compile again what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup servers demo sites test conformance check proto bench sim mutants chaos failover overload fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with everything the locked list names
	@deploy/setup.sh "$(PYTHON)" "$(VENV)"

servers: setup ## the servers that tests start by themselves
	@deploy/servers.sh
	@deploy/s3.sh "$(VENV)" .s3

demo: setup ## a federation of three sites on this machine, with real jobs
	@$(BIN)/python examples/demo.py $(ARGS)

sites: setup servers ## a federation over a real Slurm, a real Ray and processes; kill -9 on the way
	@$(BIN)/python -m examples.real_sites

test: setup servers ## the tests
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

conformance: setup servers ## the same small jobs on every kind of site
	@$(BIN)/python -m pytest tests/conformance tests/agent/test_ray_backend.py -m "" $(ARGS)

check: setup ## style, types, floors between rooms, and the wire
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >$(VENV)/floors.txt || { cat $(VENV)/floors.txt; exit 1; }
	@$(BIN)/python proto/lint.py
	@$(BIN)/python proto/generate.py --check
	@$(BIN)/python proto/breaking.py
	@$(BIN)/python -m pytest tests/test_house.py
	@echo "check: clean"

proto: setup ## regenerate suan/v1 and the image of the wire from proto/suan/v1
	@$(BIN)/python proto/generate.py
	@$(BIN)/python proto/breaking.py --record

bench: setup servers ## measure the whole road with SQLite and etcd, beside Ray and Dask
	@$(BIN)/python -m bench.endtoend $(ARGS)

sim: setup ## faults in virtual time, every promise checked: make sim SEEDS=0:1000
	@$(BIN)/python -m simulator faults --seeds $(SEEDS) --jobs $(JOBS) $(ARGS)

mutants: setup ## each safety mechanism switched off, until the simulator sees it
	@$(BIN)/python -m simulator mutants --seeds 0:2000 --jobs $(JOBS) $(ARGS)

chaos: setup servers ## kills, stops, cuts and full disks on real processes: make chaos SEEDS=0:200
	@$(BIN)/python -m tests.chaos --schedules $(SEEDS) --jobs $(JOBS) $(ARGS)

failover: setup servers ## how long a change of leader takes, with 10,000 live jobs
	@$(BIN)/python -m bench.failover $(ARGS)

overload: setup ## a million queued jobs, readers that do not read, herds
	@$(BIN)/python -m bench.overload $(ARGS)

fmt: setup ## let ruff format the code and mend what it can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

clean: ## remove .venv, caches and what the demo left
	@rm -rf $(VENV) build dist .demo .s3 *.egg-info .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
