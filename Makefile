# umd: measure 3D segmentation models on paired PET/CT and PET/MRI. The two commands to know:
#
#   make eval MODEL=region-growing      a model in its container, on paired scans, scored
#   make test                           lint, types and the tests, with real containers
#
# Each sets up what it needs: the virtual environment from its lock, a container engine, base image, model image, data.

MODEL    ?= region-growing
DATA     ?= phantom
PROTOCOL ?= paper
GPUS     ?= all
ENGINE   ?= auto
WEIGHTS  ?= published
OPTIONS  ?=
PYTHON   ?= python3.11
WHAT     ?= tests
# tests at work at once; and images, in test-zoo and test-upstream
TEST_JOBS ?= 2
ZOO_JOBS  ?= 2

VENV := .venv
BIN  := $(VENV)/bin
UMD  := $(BIN)/umd

# scorers by others; MONAI among them needs torch, whose CPU wheel lies in an index of its own
ORACLES     := .venv-oracles
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help eval test test-zoo test-upstream lint oracles test-oracles bench bench-score bench-folder bench-overhead bench-rounds bench-zoo bench-statistics bench-compare bench-report compare-peers code-metrics clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

eval: $(VENV)/run.done ## measure MODEL on DATA under PROTOCOL (GPUS=all|none|0,1 ENGINE=auto|docker|podman|local)
	@[ "$(ENGINE)" = local ] || .ci/ensure-engine
	$(UMD) run $(foreach model,$(MODEL),-m $(model)) -d $(DATA) -p $(PROTOCOL) --gpus $(GPUS) --engine $(ENGINE) \
		--weights $(WEIGHTS) $(foreach option,$(OPTIONS),--option $(option))

test: $(VENV)/dev.done ## lint, types, and the tests of WHAT=tests
	@.ci/ensure-engine
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile $(WHAT)

test-zoo: $(VENV)/dev.done ## build the models' images with random weights, check and run them (UMD_BUNDLE=folder for what no index has, UMD_RECORD=1 to record the checks)
	@.ci/ensure-engine
	UMD_TEST_ZOO=1 $(BIN)/python -m pytest -n $(ZOO_JOBS) --dist worksteal tests/zoo tests/zoo_images/test_images.py -rs

test-upstream: $(VENV)/dev.done ## our pipelines beside upstream's code, inside the models' images (UMD_BUNDLE as above)
	@.ci/ensure-engine
	UMD_TEST_ZOO=1 $(BIN)/python -m pytest -n $(ZOO_JOBS) --dist worksteal tests/zoo_images/test_upstream.py -rs

lint: $(VENV)/dev.done ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

oracles: $(ORACLES)/done ## install scorers by others, with which the tests compare, in an environment of their own

test-oracles: $(VENV)/dev.done $(ORACLES)/done ## our scores beside those of others
	$(BIN)/python -m pytest tests/oracles

bench: bench-score bench-folder bench-overhead bench-rounds bench-compare bench-statistics bench-report ## every benchmark but bench-zoo, which is of one MODEL

bench-score: $(VENV)/dev.done $(ORACLES)/done ## the scorer beside its peers; writes its table into docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_score.py --write

compare-peers: $(VENV)/dev.done $(ORACLES)/done ## what others call by the same names; writes its table into docs/metrics.md
	PYTHONPATH=. $(BIN)/python benchmarks/compare_peers.py --write

bench-folder: $(VENV)/dev.done ## folders of pairs a minute, over cores, volumes and labels; writes its table, too
	PYTHONPATH=. $(BIN)/python benchmarks/bench_folder.py --write

bench-overhead: $(VENV)/dev.done ## seconds a case beyond the model's own: one session against a container a case
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python benchmarks/bench_overhead.py

bench-rounds: $(VENV)/dev.done ## six rounds in one session against a container a case and round
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python benchmarks/bench_rounds.py

bench-zoo: $(VENV)/dev.done ## MODEL at work with WEIGHTS=random:full: targets and rounds in one session against each alone
	@.ci/ensure-engine
	$(BIN)/python benchmarks/bench_zoo.py $(MODEL) --weights $(WEIGHTS) $(ARGS)

bench-compare: $(VENV)/dev.done ## half a million scores loaded, compared and ranked; writes its table, too
	PYTHONPATH=. $(BIN)/python benchmarks/bench_compare.py --write

bench-report: $(VENV)/dev.done ## a report of half a million simulated scores, into docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_report.py --write

bench-statistics: $(VENV)/dev.done ## coverage, false positives and power on simulated subjects, into docs/statistics.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_statistics.py

code-metrics: $(VENV)/dev.done ## figures of the code's shape; ARGS="--commit REV" for another commit, --json, --list
	PYTHONPATH=. $(BIN)/python benchmarks/code_metrics.py $(ARGS)

clean: ## remove the environment and everything that can be made again; runs stay
	rm -rf $(VENV) $(ORACLES) .umd

$(VENV)/run.done: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; set PYTHON= to a Python 3.11 or newer"; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/dev.done: requirements-dev.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; set PYTHON= to a Python 3.11 or newer"; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/run.done

$(ORACLES)/done: tests/oracles/requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; set PYTHON= to a Python 3.11"; exit 1; }
	[ -x $(ORACLES)/bin/python ] || $(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/pip install --quiet --disable-pip-version-check --retries 1 --require-hashes --extra-index-url $(TORCH_INDEX) -r tests/oracles/requirements.lock
	touch $@
