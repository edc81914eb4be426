# Each target sets up what it needs. The only requirement is Python 3.11 or newer and a package index; a second call is quick.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

bin := $(VENV)/bin
python := $(bin)/python
pip_flags := --disable-pip-version-check $(if $(CI),--quiet)

.PHONY: demo test check test-slow format clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo       train a small text model on this machine and watch it write"
	@echo "make test       check formatting, lint, types, then run all fast tests"
	@echo "make test-slow  run the tests that take longer (kill -9, long trainings)"
	@echo "make check      formatting, lint, types and dependency directions only"
	@echo "make format     put the code into the project's format"
	@echo "make clean      remove the virtual environment and everything generated"
	@echo "Another Python: make test PYTHON=python3.12"

demo: $(VENV)/zoo.stamp
	$(bin)/zoo demo

test: check
	$(python) -m pytest -n $(JOBS) --dist loadfile

test-slow: $(VENV)/dev.stamp
	$(python) -m pytest -m slow

check: $(VENV)/dev.stamp
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(python) -m mypy --strict -p zoo -p benchmarks
	$(python) -m pytest -q tests/test_arrows.py

format: $(VENV)/dev.stamp
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Stamps live inside the environment, so removing it removes them. The demo does not wait for the developers' tools.
$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("zoo needs Python 3.11 or newer and this is %d.%d; name another one: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/zoo.stamp: $(VENV)/python.stamp pyproject.toml
	@echo "installing zoo and PyTorch into $(VENV): once, a few minutes"
	$(python) -m pip install $(pip_flags) --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp pyproject.toml
	@echo "installing zoo, PyTorch and the developers' tools into $(VENV): once, a few minutes"
	$(python) -m pip install $(pip_flags) --editable '.[dev]'
	@touch $@ $(VENV)/zoo.stamp
