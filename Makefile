PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: verify test test-slurm lint benchmark clean

verify: .venv/installed
	$(BIN)/python -m emoexp

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slurm: .venv/installed
	$(BIN)/python -m pytest -rs tests/slurm

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist
