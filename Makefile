# Two commands are enough: `make demo` and `make test`. Each sets up what it needs and is quick the second time.
#
#   make demo [ARGS=PATH]      audit a source tree on all cores in isolated interpreters
#   make test [ARGS=...]       run the tests; ARGS goes to pytest, WORKERS=0 runs them one by one
#   make help                  the others
#
# PYTHON=3.15 or PYTHON=3.14t chooses another interpreter, with an environment of its own (.venv-3.15, .venv-3.14t).

PYTHON ?= 3.14
ARGS ?=
WORKERS ?= auto
SETUP = scripts/setup "$(PYTHON)"
VENV = $(if $(filter 3.14,$(PYTHON)),.venv,.venv-$(PYTHON))
BIN = $(VENV)/bin
CODE = $(wildcard src tests benchmarks examples)

.DEFAULT_GOAL := help
.PHONY: help demo test setup services check-fmt fmt lint typecheck bench docs lock clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F'\t' '{ printf "make %-10s %s\n", $$1, $$2 }'

demo: setup ## audit a source tree on all cores in isolated interpreters (ARGS=PATH)
	@$(BIN)/laneway demo $(ARGS)

test: setup services ## run the tests (ARGS goes to pytest; PYTHON=3.15 chooses the interpreter)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

setup: ## make the environment in .venv
	@$(SETUP)

services: # the system packages that the tests need, as named in tests/requirements-debian.txt
	@scripts/services ensure

fmt: setup ## format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --quiet --fix --select I $(CODE)

check-fmt: setup ## check the formatting
	@$(BIN)/ruff format --check $(CODE)

lint: setup ## check the code's style and its import contracts
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache

typecheck: setup ## check the types with mypy and basedpyright
	@$(BIN)/mypy $(CODE) & mypy=$$!; \
	$(BIN)/basedpyright --warnings $(CODE); others=$$?; \
	wait $$mypy && exit $$others

bench: setup ## measure (ARGS chooses what)
	@$(BIN)/python -m benchmarks $(ARGS)

docs: setup ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "docs: site/index.html"

lock: setup ## write the lock files again (ARGS=--upgrade takes newer versions)
	@scripts/lock $(ARGS)

clean: ## remove environments, the assembled interpreters and by-products
	rm -rf .venv .venv-* .python .tools build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
