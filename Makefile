# Every target first builds .venv from pyproject.toml and constraints.txt, then does its work.
#   PYTHON=python3.12      another interpreter
#   PIP_ARGS="..."         words for pip, e.g. --index-url of a CPU-only or a CUDA build of torch

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread in each process: the processes share the machine.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help setup certify test figures bench mutants lint format clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## build the environment only

certify: $(READY) ## certify every sampler into certificate/
	$(BIN)/fokker certify --out certificate

test: $(READY) ## run every test that needs no GPU
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not gpu"

figures: $(READY) ## draw the figures
	$(BIN)/python -m fokker.paper_figs

bench: $(READY) ## time the executor against the bytes it must move
	$(BIN)/python benchmarks/run.py

mutants: $(READY) ## plant mistakes and count how many the tests kill
	$(BIN)/python tests/mutants/run.py

lint: $(READY) ## check style, format and types
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check --no-cache .
	$(BIN)/pyright

format: $(READY) ## rewrite the files in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist src/*.egg-info certificate figures

# The stamp goes first and comes back last: a failed installation leaves none.
$(READY): pyproject.toml constraints.txt
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fokker needs Python 3.11 or later; set PYTHON=..., this is " + sys.version.split()[0])'
	@test -d src/fokker/solvers || { echo "src/fokker/solvers is not a link to a folder; clone with 'git clone -c core.symlinks=true'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS) -e '.[test,dev,stand,dask]'
	$(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS) --no-deps azula k-diffusion
	@touch $@
