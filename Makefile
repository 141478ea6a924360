# make reproduce            the whole study on this machine, to outputs/laptop/results/report.html
# make reproduce RECIPE=smoke CORES=4
# make reproduce SEEDS="0 1 2"
# make report               the report of the committed reference run, from its scores
# make test | lab | benchmark | lint | clean

RECIPE ?= laptop
CORES  ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

unexport PYTHONDONTWRITEBYTECODE  # packages are compiled at their first use, once

.PHONY: help reproduce report test lab benchmark lint clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# //p' Makefile

reproduce: .venv/core
	@exec $(BIN)/python -m helpers.workflow.chain reproduce --recipe '$(RECIPE)' --cores $(CORES) $(if $(SEEDS),--seeds $(SEEDS))

report: .venv/core
	@$(BIN)/python -m helpers.workflow.reference '$(RECIPE)' --rebuild

test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

lab: .venv/core
	$(BIN)/jupyter lab --notebook-dir . $(if $(filter 0,$(shell id -u)),--allow-root)

benchmark: .venv/core
	$(BIN)/python tests/benchmarks/speed.py
	$(BIN)/python tests/benchmarks/arms.py --processes $(CORES)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check helpers tests
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/lint-imports

clean: # what was made, not what was measured: outputs/reference stays, and so does .venv
	rm -rf .snakemake .pytest_cache .hypothesis .ruff_cache
	find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +

.venv/core: pyproject.toml
	@echo "Setting up .venv with the core packages: one to three minutes, and the download of them the first time."
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

.venv/dev: .venv/core
	@echo "Adding the packages that tests need: about half a minute."
	@$(PIP) --editable '.[dev]'
	@touch $@
