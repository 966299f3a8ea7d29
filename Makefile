# 3.11 to 3.13: make PYTHON=python3.12 ...
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: real verify explore test test-quick docs test-slurm acceptance-slurm chaos fuzz benchmark clean

# V1 to V11 on real weights: SmolLM2-135M-Instruct from PyPI.
real: .venv/installed
	$(BIN)/python -m emoexp model=smollm2_135m scale=laptop

verify: .venv/installed
	$(BIN)/python -m emoexp

# A page on 127.0.0.1: read a text, steer a reply, open runs (docs/explorer.md). MODEL=organism for a small model that is there at once.
# OVERRIDES= reads all thirty emotions and all stories: the first start takes six times as long.
MODEL ?= smollm2_135m
ifeq ($(MODEL),smollm2_135m)
OVERRIDES ?= emotions=core12 scale.stories_per_emotion=10
endif
explore: .venv/installed
	$(BIN)/python -m emoexp explore model=$(MODEL) $(OVERRIDES)

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

# The part of the tests that takes under three minutes on two cores.
QUICK := $(addprefix tests/,stats geometry vectors stimuli stories store compare cli/test_command.py docs/test_documented.py docs/test_pages.py)
test-quick: .venv/installed
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' $(QUICK)

# The pages of docs/, as a site in build/site. A dead link stops it.
docs: .venv/installed
	PYTHONPATH=. $(BIN)/mkdocs build --quiet

# All tests on a real SLURM of one node, which they bring up (root, apt).
test-slurm: .venv/installed
	$(BIN)/python -m pytest -rs tests/slurm

# A sweep in which everything goes wrong, against a quiet one. SWEEP="experiment=verify scale=smoke" for all criteria: most of an hour.
acceptance-slurm: .venv/installed
	$(BIN)/python tests/slurm/acceptance.py $(SWEEP)

# Kills, full disks, other users and no memory, then the same command: a quarter of an hour on two quiet cores, and as much for the SLURM sweep. CHAOS="-k verify" for some.
chaos: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/chaos $(CHAOS)
	$(if $(CHAOS),,$(BIN)/python tests/slurm/acceptance.py)

# 10,000 fuzzed files in every reader (CI has 200): half an hour on two quiet cores. FUZZ="-k corpus" for some.
fuzz: .venv/installed
	EMOEXP_FUZZ=10000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -rP tests/fuzz $(FUZZ)

# How fast it is, against its peers and the machine: a good 15 minutes on two quiet cores. ROWS="--only steering" for some rows, --quick to try it.
benchmark: .venv-benchmark/installed
	.venv-benchmark/bin/python -m benchmarks $(ROWS)

.venv-benchmark/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-benchmark
	echo '*' > .venv-benchmark/.gitignore
	.venv-benchmark/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-benchmark/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[benchmark]'
	.venv-benchmark/bin/python -m pip install --quiet --no-deps steering-vectors==0.12.2
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist
