.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
FAST := tests/src/core tests/src/flow tests/src/losses tests/src/models tests/eval/core tests/eval/human tests/test_repository.py tests/test_language.py

.PHONY: help install install-human demo play study-demo test-fast test test-services test-long mutants lint format bench-tae bench-video bench-eval bench-media bench-audio bench-streaming gpu-check lock clean

help:  ## Show the targets; times are of two idle cores
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@touch $(INSTALLED)

install: $(INSTALLED)  ## Make .venv with exactly the packages of requirements.lock

install-human:  ## Make .venv-human: eval.human alone, without torch (1 min)
	$(PYTHON) -m venv .venv-human
	.venv-human/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/human.lock

demo: $(INSTALLED)  ## Train the tiny models, generate videos with audio, score them (20 to 27 min)
	$(BIN)/python -m src.train
	$(BIN)/python -m src.train configs/recipes/tiny_audio.yaml

play: $(INSTALLED)  ## Open a local page on the shipped weights: prompts, videos, the checker's verdict
	$(BIN)/python -m play

study-demo: $(INSTALLED)  ## Plan, serve and fill a study with simulated raters, open its report (needs chromium)
	rm -rf runs/study_demo
	$(BIN)/python -m eval.human demo out=runs/study_demo

test-fast: $(INSTALLED)  ## Test core, flow, losses, models, configs and language, without slow tests (60 s)
	$(PYTEST) -m "not slow and not services and not long" $(FAST)

test: $(INSTALLED)  ## Run all tests but those of services and long ones (10 min, no network)
	$(PYTEST)

test-services: $(INSTALLED)  ## Run the tests of services: databases, browsers, object stores (6 min)
	$(PYTEST) -m services || [ $$? -eq 5 ]

test-long: $(INSTALLED)  ## Run the long tests, once per release: goldens by instruction set, some mutants (up to 60 min)
	$(PYTEST) -m long || [ $$? -eq 5 ]

mutants: $(INSTALLED)  ## Count the mutants of models, flow, losses, keyed order and eval that tests miss (2 h, resumes)
	$(BIN)/python -m benchmarks.mutants
	$(BIN)/python -m benchmarks.mutants part=eval per_file=4

lint: $(INSTALLED)  ## Check style, layers between packages, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-tae: $(INSTALLED)  ## Time the autoencoder beside diffusers' (installs diffusers; half an hour)
	$(BIN)/python -m pip install --quiet 'diffusers>=0.37'
	$(BIN)/python -m benchmarks.tae
	$(BIN)/python -m benchmarks.tae_memory out=runs/bench

bench-video: $(INSTALLED)  ## Time the transformer beside diffusers' (installs diffusers; hours, resumes)
	$(BIN)/python -m pip install --quiet 'diffusers>=0.37'
	$(BIN)/python -m benchmarks.video

bench-eval: $(INSTALLED)  ## Time the set metrics beside clean-fid, torch-fidelity, torchmetrics (installs them; minutes)
	$(BIN)/python -m pip install --quiet clean-fid torch-fidelity
	$(BIN)/python -m benchmarks.evaluation

bench-media: $(INSTALLED)  ## Time the media reader beside torchcodec and decord (installs them; minutes)
	$(BIN)/python -m pip install --quiet --no-deps torchcodec==0.17.0 decord==0.6.0
	$(BIN)/python -m benchmarks.media

bench-audio: $(INSTALLED)  ## Time the codec and the audio transformer beside transformers' and diffusers' (installs diffusers)
	$(BIN)/python -m pip install --quiet 'diffusers>=0.37'
	$(BIN)/python -m benchmarks.codec
	$(BIN)/python -m benchmarks.audio

gpu-check:  ## Measure one GPU with the torch of PYTHON=..., installing nothing (under 6 min; on a CPU a rehearsal)
	$(PYTHON) -m benchmarks.gpu_check

bench-streaming: $(INSTALLED)  ## Time streams from a store beside LitData's and WebDataset's (installs webdataset; minutes)
	$(BIN)/python -m pip install --quiet 'webdataset>=1.0'
	$(BIN)/python -m benchmarks.streaming_index
	$(BIN)/python -m benchmarks.streaming

lock: $(INSTALLED)  ## Resolve pyproject.toml again into requirements.lock, with hashes for every platform
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --extra dev --extra samples --group stand-ins --group human pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --group human --group human-test --constraints requirements.lock --output-file requirements/human.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --constraints requirements.lock requirements/cluster.in --output-file requirements/cluster.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-deps --python-version 3.11 --constraints requirements.lock requirements/games.in --output-file requirements/games.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --constraints requirements.lock requirements/notebooks.in --output-file requirements/notebooks.lock

clean:  ## Remove what `make demo` made: runs/tiny and datasets/bounce_tiny*; nothing else
	rm -rf runs/tiny datasets/bounce_tiny datasets/bounce_tiny_sft datasets/bounce_tiny_audio datasets/bounce_tiny_codec
