# make reproduce    the whole study on this machine; RECIPE=smoke, CORES=4, SEEDS="0 1 2" and
#                   MODEL=../models/mine (a folder as seen from notebooks/, or a hub id) change it
# make lab          JupyterLab, to run the notebooks by hand
# make test         the tests
# make lint         style, stripped notebooks, imports; make benchmark: tokens per second
# make report       tables, figures, report and explorer of the reference run again, from its scores
# make notebooks    the reference run's executed notebooks, from a finished `make reproduce`
# make site         README, report, explorer and executed notebooks as pages for the web
# make lock         requirements.lock again, with the newest versions that pyproject.toml admits
# make links        badges and links again; ADDRESS=https://github.com/NAME/REPOSITORY sets the repository
# make clean        deletes what was made, but not outputs/reference

RECIPE ?= laptop
CORES  ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint requirements.lock

unexport PYTHONDONTWRITEBYTECODE  # packages are compiled at their first use, once

.PHONY: help reproduce lab test lint benchmark report notebooks site lock links clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make /make /p' Makefile

reproduce: .venv/core
	@exec $(BIN)/python -m helpers.workflow.chain reproduce --recipe '$(RECIPE)' --cores $(CORES) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(MODEL),--model '$(MODEL)')

report: .venv/core
	@$(BIN)/python -m helpers.workflow.reference '$(RECIPE)' --rebuild

notebooks: .venv/core
	@$(BIN)/python -m helpers.workflow.rendered '$(RECIPE)'

site: report
	@$(BIN)/python -m helpers.workflow.site

links: .venv/core
	@$(BIN)/python -m helpers.workflow.links $(ADDRESS)

# One version of every package, for Linux and macOS and for CPU and GPU; vLLM decides which torch.
lock: .venv/dev
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --extra dev --extra gpu --extra cluster --extra harness --extra gym pyproject.toml --output-file requirements.lock

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
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/lint-imports

clean:
	rm -rf .snakemake .pytest_cache .hypothesis .ruff_cache
	find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +

.venv/core: pyproject.toml requirements.lock
	@echo "Setting up .venv with the core packages: one to three minutes, and the download of them the first time."
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

.venv/dev: .venv/core
	@echo "Adding the packages that tests need: about half a minute."
	@$(PIP) --editable '.[dev]'
	@$(PIP) --editable '.[gym]' || echo "reasoning-gym needs a C compiler (for pycosat): its tests are skipped."
	@touch $@
