.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install demo test lint format bench-tae bench-video bench-eval lock clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@touch $(INSTALLED)

install: $(INSTALLED)  ## Make .venv with exactly the packages of requirements.lock

demo: $(INSTALLED)  ## Train the tiny models from nothing, generate films, score them (13 to 20 minutes on 2 cores)
	$(BIN)/python -m src.train

test: $(INSTALLED)  ## Run the whole test suite (at most 10 minutes on 2 cores, no network)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(INSTALLED)  ## Style, layers between packages, and types of the core
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-tae: $(INSTALLED)  ## Time our autoencoder beside diffusers' (installs diffusers; about half an hour)
	$(BIN)/python -m pip install --quiet 'diffusers>=0.37'
	$(BIN)/python -m benchmarks.tae
	$(BIN)/python -m benchmarks.tae_memory out=runs/bench

bench-video: $(INSTALLED)  ## Time our transformer beside diffusers' (installs diffusers; hours, goes on where it stopped)
	$(BIN)/python -m pip install --quiet 'diffusers>=0.37'
	$(BIN)/python -m benchmarks.video

bench-eval: $(INSTALLED)  ## Time our set metrics beside clean-fid, torch-fidelity and torchmetrics (installs them; minutes)
	$(BIN)/python -m pip install --quiet clean-fid torch-fidelity
	$(BIN)/python -m benchmarks.evaluation

lock: $(INSTALLED)  ## Resolve pyproject.toml again into requirements.lock, with hashes for every platform
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --extra dev --extra samples --group stand-ins pyproject.toml --output-file requirements.lock

clean:  ## Remove what runs left behind (keeps .venv)
	rm -rf runs datasets
