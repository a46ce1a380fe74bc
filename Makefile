.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.lock pyproject.toml
	@deploy/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

setup: $(VENV)/.ready ## make .venv with everything the locked list names

proto: setup ## regenerate suan/v1 from proto/suan/v1 and the committed descriptor
	@$(BIN)/python proto/generate.py

.PHONY: help setup proto
