# make help lists the targets. Everything runs in .venv, which is made from requirements.txt when it is not there.
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 0
METHOD ?= iic
BENCHMARKS := startup views evaluate decode loop growth discover_step disentangle_step dispatches baselines_step

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-all test-commands test-faults bench gpu-check reproduce check format lock

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.dev ## make .venv with all that the program and its tests need

.venv/.done: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/.dev: .venv/.done requirements-dev.txt requirements-backbone.txt requirements-wandb.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

quickstart: .venv/.done ## discover the digits 5 to 9 after seeing labels of 0 to 4 alone (SEED=0), little over a minute
	$(BIN)/python scripts/quickstart.py --seed $(SEED)

test: .venv/.dev ## the tests, in under 10 minutes on 2 cores
	$(BIN)/python -m pytest -m "not slow"

test-faults: .venv/.dev ## kill runs, fill disks, damage files; a table of what survived (about 5 minutes)
	$(BIN)/python -m pytest tests/faults -m "slow or not slow" -s

test-commands: .venv/.dev ## every command of README and docs on small data, also with fewer instructions (over an hour)
	$(BIN)/python -m pytest tests/test_documented_commands.py

test-all: .venv/.dev ## the long tests too
	$(BIN)/python -m pytest

bench: .venv/.done ## the benchmarks, one after the other; tables, and JSON in logs/benchmarks/ (about 15 minutes on 2 cores)
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --json logs/benchmarks/$$name.json || exit 1; done

gpu-check: .venv/.done ## what only a GPU can show: right, not waiting, fast, its memory; a table, and logs/benchmarks/gpu_check.json
	@$(BIN)/python benchmarks/gpu_check.py

reproduce: .venv/.done ## published runs: SPLIT=cifar10-5, cifar100-20 or cifar100-50 (METHOD=iic SEED=0 BUDGET=seconds); goes on when called again
	@$(BIN)/python scripts/compare.py $(SPLIT) --methods $(METHOD) --seeds $(SEED) --download $(if $(BUDGET),--budget $(BUDGET))

check: .venv/.dev ## formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/.dev ## format and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/.dev ## write the installed versions to requirements.lock
	$(BIN)/python -m pip freeze > requirements.lock
