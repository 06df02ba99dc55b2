# make demo | test | test-all | agreement | lint | format | clean
PYTHON ?= python3
TASK ?= det
CONFIG ?=
# Test processes side by side.
JOBS ?= 2

# mim starts `python`, so the environment must come first on PATH.
IN_ENV = PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: env demo test test-all agreement lint format clean

env:
	@$(PYTHON) tools/bootstrap.py

demo: env
	@$(IN_ENV) python tools/demo.py --task '$(TASK)' --config '$(CONFIG)'

test: env
	@$(IN_ENV) python -m pytest -n $(JOBS)

test-all: env
	@$(IN_ENV) python -m pytest -n $(JOBS) -m ''

# Resumes where it was stopped; may take hours.
agreement: env
	@$(IN_ENV) python benchmarks/agreement.py

lint: env
	@$(IN_ENV) ruff check .
	@$(IN_ENV) ruff format --check .

format: env
	@$(IN_ENV) ruff check --fix .
	@$(IN_ENV) ruff format .

clean:
	rm -rf .venv data work_dirs
