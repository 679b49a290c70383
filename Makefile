# Two commands do everything on a fresh Linux machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
SEEDS ?= 0 1 2
FUZZ_MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo test e2e fuzz lint install browser samples study mutants clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# torch first and alone: a later package would otherwise choose its build.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(VENV)/installed ## a virtual environment with everything in it

demo: $(VENV)/installed ## install, train LSEBMCL on 450 examples a task of the bundled stream, serve the app on 127.0.0.1
	$(BIN)/workbench train --stream bundled --method lsebmcl --set tasks.train_limit=450 --out runs --name demo
	$(BIN)/workbench app --runs runs --port $(PORT)

browser: ## Debian's Chromium for the browser tests, where there is none and it can be installed
	@command -v chromium chromium-browser google-chrome >/dev/null || ./.ci/chromium

test: $(VENV)/installed lint browser ## everything that CI checks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake notebooks --nbmake-timeout=300

e2e: $(VENV)/installed browser ## the app in a real browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/e2e

fuzz: $(VENV)/installed ## damaged runs, ratings, settings, data sets at random, FUZZ_MINUTES (60) long
	end=$$(($$(date +%s) + 60 * $(FUZZ_MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
	  FUZZ_EXAMPLES=200 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz -n 2 --dist load -q || exit 1; done

lint: $(VENV)/installed ## ruff, import-linter, pyright
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright

mutants: $(VENV)/installed ## change the code line by line and count the changes that the fast tests notice (FILES: some only)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants $(FILES)

# Every method at the defaults; lamol_task is LAMOL with a generation token a task.
settings = --method $(patsubst lamol_task,lamol,$(1)) $(if $(filter lamol_task,$(1)),--set replay.tokens=task)

samples: $(VENV)/installed ## train the four runs that the app shows where there are no others, into data/runs
	rm -rf data/runs
	$(foreach method,lsebmcl lamol_task er finetune,$(BIN)/workbench train $(call settings,$(method)) \
	  --set recording.weights=none --set recording.chains=64 --out data/runs &&) rm data/runs/*/run.lock

study: $(VENV)/installed ## the README's tables of the bundled stream: eight methods, SEEDS (0 1 2), some hours of one core
	$(foreach seed,$(SEEDS),$(foreach method,finetune multitask er lamol lamol_task lsebmcl normal gaussian,OMP_NUM_THREADS=1 \
	  $(BIN)/workbench train --seed $(seed) $(call settings,$(method)) --out runs/study &&)) true
	$(BIN)/workbench table --runs runs/study --json > data/results/bundled.json

clean: ## remove the virtual environment and caches, never runs
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
