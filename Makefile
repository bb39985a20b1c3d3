# `make run` and `make test` install what they need into .venv; nothing else on the machine is touched.
# TORCH_INDEX=URL takes torch from that index, such as one with CPU builds; on Linux the public wheel brings CUDA.

PYTHON ?= python3
VENV := .venv
# `make check` needs no torch, and has an environment of its own without it.
CHECK := .venv-check
BIN := $(VENV)/bin
INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run check test bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

run: $(VENV)/local ## package, serve and ask the bundled model; install what that needs first
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/asteria-tui --up; else $(BIN)/asteria-tui up; fi

check: $(CHECK)/dev ## format, lint, types, contracts, and every test without server, engine and torch
	@$(CHECK)/bin/ruff format --check --quiet .
	@$(CHECK)/bin/ruff check --quiet .
	@$(CHECK)/bin/mypy asteria_tui
	@$(CHECK)/bin/python -m pytest --quiet --numprocesses 2 --ignore tests/model --ignore tests/handler \
		-m 'not torchserve and not docker and not torch'

test: $(VENV)/dev ## the whole: format, lint, types, and every test, on a real TorchServe and a Docker engine
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest

bench: $(VENV)/dev ## speed and memory, as ratios to a peer in the same run
	@$(BIN)/python -m tests.benchmarks

clean: ## stop the server, remove .venv, caches and archives
	@[ ! -x $(BIN)/asteria-tui ] || [ ! -d .asteria ] || $(BIN)/asteria-tui down
	@rm -rf $(VENV) $(CHECK) .asteria .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f model_store/*.mar

$(VENV)/bin/python $(CHECK)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asteria-tui needs Python 3.11 or newer; make PYTHON=… names one")'
	@$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/local: $(VENV)/bin/python $(SOURCES)
	@echo "installing into $(VENV) (torch is the large part)…" >&2
	@$(if $(TORCH_INDEX),$(INSTALL) --index-url '$(TORCH_INDEX)' torch)
	@$(INSTALL) --editable '.[local]'
	@touch $@

$(VENV)/dev: $(VENV)/local
	@$(INSTALL) --editable '.[local,dev]'
	@touch $@

$(CHECK)/dev: $(CHECK)/bin/python $(SOURCES)
	@echo "installing into $(CHECK)…" >&2
	@$(INSTALL) --editable '.[dev]'
	@touch $@
