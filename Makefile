# make demo | test | test-all | test-gpu | test-onedl | agreement | bench | docs | lint | format | clean
PYTHON ?= python3
# Of a demo without CONFIG: det.
TASK ?=
CONFIG ?=
# Runs of each training of a demo that compares several; 1 without it.
SEEDS ?=
# Test processes side by side.
JOBS ?= 2

# mim starts `python`, so the environment must come first on PATH.
IN_ENV = PATH="$(CURDIR)/.venv/bin:$$PATH"

IN_ONEDL = PATH="$(CURDIR)/.venv-onedl/bin:$$PATH"

.PHONY: env demo test test-all test-gpu test-onedl agreement bench docs lint format clean

env:
	@$(PYTHON) tools/bootstrap.py

demo: env
	@$(IN_ENV) python tools/demo.py --task '$(TASK)' --config '$(CONFIG)' --seeds '$(SEEDS)'

test: env
	@$(IN_ENV) python -m pytest -n $(JOBS)

test-all: env
	@$(IN_ENV) python -m pytest -n $(JOBS) -m ''

# On the first GPU, those that are for one.
test-gpu: env
	@$(IN_ENV) TEST_GPU=0 python -m pytest -n $(JOBS) -m gpu

# The tests that apply beside onedl's packages, which have no mmyolo.
test-onedl:
	@$(PYTHON) tools/bootstrap.py onedl
	@$(IN_ONEDL) python -m pytest -n $(JOBS) -m 'not wide and not slow'

# Resumes where it was stopped; may take hours.
agreement: env
	@$(IN_ENV) python benchmarks/agreement.py

# Times against those of other code, to benchmarks/README.md; takes two to three hours.
bench: env
	@$(IN_ENV) python benchmarks/collect.py

# The site, in site/. Fails on a broken link.
docs:
	@$(PYTHON) tools/bootstrap.py docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict

lint: env
	@$(IN_ENV) ruff check .
	@$(IN_ENV) ruff format --check .

format: env
	@$(IN_ENV) ruff check --fix .
	@$(IN_ENV) ruff format .

clean:
	rm -rf .venv .venv-onedl .venv-docs .nox data site work_dirs
