.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make test`, `make demo` and `make bench` hand on, e.g. make test ARGS="tests/broker -x".
ARGS ?=
# First and end of the range of seeds that `make sim` tries.
SEEDS ?= 0:200

.PHONY: help setup demo test check proto bench sim fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with everything the locked list names
	@deploy/setup.sh "$(PYTHON)" "$(VENV)"

demo: setup ## a federation of three sites on this machine, with real jobs
	@$(BIN)/python examples/demo.py $(ARGS)

test: setup ## the tests
	@$(BIN)/python -m pytest $(ARGS)

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

bench: setup ## measure the whole road, beside Ray and Dask
	@$(BIN)/python -m bench.endtoend $(ARGS)

sim: setup ## random histories of the broker's core in virtual time: make sim SEEDS=0:200
	@SUAN_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/broker/test_core_random.py

fmt: setup ## let ruff format the code and mend what it can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

clean: ## remove .venv, caches and what the demo left
	@rm -rf $(VENV) build dist .demo *.egg-info .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
