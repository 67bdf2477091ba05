# Set-up, the main job, and the checks. Everything is installed into .venv by the files of this project.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup quickstart test test-all lint bench weights clean

help:
	@echo "make quickstart  set up, run mkpairs and pretrain on the shipped clips and on generated people and hands,"
	@echo "                 fine-tune the hand network for meshes, show the pages to open"
	@echo "make test        set up and run the tests;  make test-all adds the slow ones"
	@echo "make lint        ruff and mypy;             make bench runs the benchmarks"
	@echo "make weights     make the networks of humanpt demo again, from nothing (hours; writes live-weights/)"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "humanpt needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing humanpt and what it needs into $(VENV) (several GB with torch, a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

quickstart: $(READY)
	@$(BIN)/python examples/quickstart.py

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-all: $(READY)
	$(BIN)/python -m pytest -n 2 -m 'not gpu or gpu'

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

# Tried in small, in minutes: make weights COUNT=60 STEPS=4
COUNT ?= 6000
weights: $(READY)
	for kind in hand body; do \
		$(BIN)/humanpt mkpairs synthetic --$$kind --count $(COUNT) --set pairs_per_scene=2 --out live-weights/$$kind-pairs && \
		$(BIN)/humanpt finetune $$kind-mesh --recipe live --data live-weights/$$kind-pairs --out live-weights/$$kind \
			$(if $(STEPS),--steps $(STEPS)) && \
		$(BIN)/humanpt export live-weights/$$kind/last.safetensors --to safetensors --half \
			--out live-weights/mesh-$$kind.safetensors || exit 1; \
	done

clean:
	rm -rf $(VENV) quickstart build *.egg-info .pytest_cache .mypy_cache .ruff_cache
