# What a contributor does; `make help` lists it.
PYTHON ?= python

.DEFAULT_GOAL := help
.PHONY: help install test slow lint format types train benchmark phantoms ci clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: ## the library with what developing it needs
	$(PYTHON) -m pip install -e ".[dev]"
	pre-commit install

test: ## the suite (meant for 15 minutes on two cores; a slow machine takes 20)
	$(PYTHON) -m pytest -n 2 --dist loadfile

slow: ## the longer tests
	$(PYTHON) -m pytest -m slow

lint: ## ruff, without changing anything
	ruff check .
	ruff format --check .

format: ## let ruff mend what it can
	ruff check --fix .
	ruff format .

types: ## mypy, strict
	mypy

train: ## DC-MT on its built-in phantoms (the README's first command, installed)
	$(PYTHON) -m monai.bundle run training --config_file bundles/dcmt/configs/train.json

benchmark: ## what the trainer costs over a bare loop
	$(PYTHON) -m benchmarks.train_step

phantoms: ## the README's picture
	$(PYTHON) -m semimed_monai.data.phantoms --out docs/knee_phantoms.png

ci: ## what every submission must pass
	bash .ci/run

clean: ## remove what runs and tests have left
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis zoo exports bundles/*/eval bundles/*/models
