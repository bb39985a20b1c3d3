# `make run` and `make test` install what they need into .venv; nothing else on the machine is touched.
# TORCH_INDEX=URL takes torch from that index, such as one with CPU builds; on Linux the public wheel brings CUDA.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test lint bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

run: $(VENV)/local ## package, serve and ask the bundled model; install what that needs first
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/asteria-tui --up; else $(BIN)/asteria-tui up; fi

test: $(VENV)/dev ## everything that proves the project, on a real TorchServe
	@$(BIN)/python -m pytest

lint: $(VENV)/dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/dev ## speed and memory, as ratios to a peer in the same run
	@$(BIN)/python -m tests.benchmarks

clean: ## stop the server, remove .venv, caches and archives
	@[ ! -x $(BIN)/asteria-tui ] || [ ! -d .asteria ] || $(BIN)/asteria-tui down
	@rm -rf $(VENV) .asteria .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f model_store/*.mar

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asteria-tui needs Python 3.11 or newer; make PYTHON=… names one")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/local: $(VENV)/bin/python $(SOURCES)
	@echo "installing into $(VENV) (torch is the large part)…" >&2
	@$(if $(TORCH_INDEX),$(INSTALL) --index-url '$(TORCH_INDEX)' torch)
	@$(INSTALL) --editable '.[local]'
	@touch $@

$(VENV)/dev: $(VENV)/local
	@$(INSTALL) --editable '.[local,dev]'
	@touch $@
