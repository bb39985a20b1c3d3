# Each target installs what it needs: `run` and `test` into .venv, `check` into .venv-check, which needs no torch.
# Nothing else on the machine is touched.
# TORCH_INDEX=URL takes torch from that index, such as one with CPU builds; on Linux the public wheel brings CUDA.

PYTHON ?= python3
# pyproject.toml says what the marks mean, tests/marks.py which test has one.
QUICK_TESTS := not torchserve and not docker and not torch
OTHER_TESTS := torchserve or docker or torch

.DEFAULT_GOAL := help
.PHONY: help run check test bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

run: .venv/local ## package, serve and ask the bundled model; install what that needs first
	@if [ -t 0 ] && [ -t 1 ]; then .venv/bin/asteria-tui --up; else .venv/bin/asteria-tui up; fi

check: .venv-check/dev ## format, lint, types, import contracts and every test without server, engine and torch
	@$(call static,.venv-check/bin,asteria_tui)
	@$(call quick_tests,.venv-check/bin, and not slow)

test: .venv/dev ## every check and test, on a real TorchServe
	@$(call static,.venv/bin,)
	@$(call quick_tests,.venv/bin)
	@.venv/bin/python -m pytest -m '$(OTHER_TESTS)'

bench: .venv/dev ## speed and memory, as ratios to a peer in the same run
	@.venv/bin/python -m tests.benchmarks

clean: ## stop the server, remove the environments, caches and archives
	@[ ! -x .venv/bin/asteria-tui ] || [ ! -d .asteria ] || .venv/bin/asteria-tui down
	@rm -rf .venv .venv-check .asteria .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f model_store/*.mar

# $(1): the environment's programs, $(2): what mypy reads; nothing means all that pyproject.toml names, which needs torch.
define static
	$(1)/ruff format --check . && $(1)/ruff check . && $(1)/mypy $(2)
endef

# $(2): what else is left out. Half of what they take is waiting for a screen to come to rest: more than there are cores.
define quick_tests
	$(1)/python -m pytest --numprocesses 6 -m '$(QUICK_TESTS)$(2)'
endef

# An environment is a folder; a file in it, named by the last of its extras, says that they are installed.
INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
.venv/local: EXTRAS = local
.venv/dev: EXTRAS = local,dev
.venv-check/dev: EXTRAS = dev

.venv/local .venv/dev .venv-check/dev: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asteria-tui needs Python 3.11 or newer; make PYTHON=… names one")'
	@[ -x $(@D)/bin/python ] || $(PYTHON) -m venv $(@D)
	@echo "installing $(EXTRAS) into $(@D)$(if $(findstring local,$(EXTRAS)), (torch is the large part))…" >&2
	@$(if $(and $(TORCH_INDEX),$(findstring local,$(EXTRAS))),$(INSTALL) --index-url '$(TORCH_INDEX)' torch)
	@$(INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@
