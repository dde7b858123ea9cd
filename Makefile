# umd: evaluate 3D segmentation models on paired PET/CT and PET/MRI. The two main commands:
#
#   make eval MODEL=region-growing      evaluate a model in its container on paired scans
#   make test                           lint, types and tests, with real containers
#
# Each sets up what it needs: the virtual environment from its lock, a container engine, images, data.

MODEL    ?= region-growing
DATA     ?= phantom
PROTOCOL ?= paper
GPUS     ?= all
ENGINE   ?= auto
WEIGHTS  ?= published
OPTIONS  ?=
PYTHON   ?= python3.11
WHAT     ?= tests
# tests that run at the same time, more than two processors: tests wait for containers half of the
# time; images at the same time in test-zoo and test-upstream
TEST_JOBS ?= 3
ZOO_JOBS  ?= 2

VENV := .venv
BIN  := $(VENV)/bin
UMD  := $(BIN)/umd

# other scorers; MONAI needs torch, whose CPU wheel has a separate index
ORACLES     := .venv-oracles
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# gpu-check: a Python with torch, a folder of umd models fetch, and where its results go
GPU_PYTHON ?= python3
BUNDLE     ?=
OUT        ?= .umd/gpu-check

.PHONY: help eval test test-extended test-hostile gpu-check test-zoo test-upstream lint oracles test-oracles bench bench-score bench-folder bench-overhead bench-rounds bench-zoo bench-statistics bench-grid confounds bench-compare bench-report bench-pipeline bench-scale bench-challenge bench-portal challenge-rehearsal faults compare-peers code-metrics clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

eval: $(VENV)/run.done ## evaluate MODEL on DATA under PROTOCOL (GPUS=all|none|0,1 ENGINE=auto|docker|podman|apptainer|local)
	@[ "$(ENGINE)" = local ] || .ci/ensure-engine
	$(UMD) run $(foreach model,$(MODEL),-m $(model)) -d $(DATA) -p $(PROTOCOL) --gpus $(GPUS) --engine $(ENGINE) \
		--weights $(WEIGHTS) $(foreach option,$(OPTIONS),--option $(option))

test: $(VENV)/dev.done ## lint, types, and the tests of WHAT=tests
	@.ci/ensure-engine
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder $(WHAT)

test-extended: $(VENV)/dev.done ## further variants of the tests: more kinds of failures, engines and grids
	@.ci/ensure-engine
	UMD_TEST_EXTENDED=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder -m extended tests

test-hostile: $(VENV)/dev.done ## every attack of the hostile model, on the engine of this machine; writes docs/security.md
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python -W ignore -m tests.docker.hostile.table --write

test-zoo: $(VENV)/dev.done ## build the models' images with random weights, check and run them (UMD_BUNDLE=folder for files that no index has, UMD_RECORD=1 to record the checks)
	@.ci/ensure-engine
	UMD_TEST_ZOO=1 UMD_TEST_EXTENDED=1 $(BIN)/python -m pytest -n $(ZOO_JOBS) --dist worksteal tests/zoo tests/zoo_images/test_images.py tests/zoo_images/test_base_images.py -rs

test-upstream: $(VENV)/dev.done ## compare the models' pipelines with upstream's code, inside their images (UMD_BUNDLE as above)
	@.ci/ensure-engine
	UMD_TEST_ZOO=1 $(BIN)/python -m pytest -n $(ZOO_JOBS) --dist worksteal tests/zoo_images/test_upstream.py -rs

gpu-check: ## every network (or MODEL) at full size with random weights on a GPU, 8 minutes; installs and fetches nothing (GPU_PYTHON with torch, numpy, scipy; BUNDLE=folder)
	PYTHONPATH=.:models/sdk $(GPU_PYTHON) benchmarks/gpu_check.py $(if $(filter command environment,$(origin MODEL)),$(MODEL)) \
		$(if $(BUNDLE),--bundle $(BUNDLE)) --out $(OUT)

lint: $(VENV)/dev.done ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

oracles: $(ORACLES)/done ## install other scorers for comparison, in a separate environment

test-oracles: $(VENV)/dev.done $(ORACLES)/done ## compare scores with those of other scorers
	$(BIN)/python -m pytest tests/oracles

bench: bench-score profile-score bench-folder bench-overhead bench-rounds bench-compare bench-statistics bench-report ## every benchmark but bench-zoo, which needs a MODEL

bench-score: $(VENV)/dev.done $(ORACLES)/done ## speed of the scorer and of others; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_score.py --write

profile-score: $(VENV)/dev.done ## where the scorer's time goes, by stage, beside what memory allows; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/profile_score.py --write

compare-peers: $(VENV)/dev.done $(ORACLES)/done ## metrics of the same name in other packages; writes docs/metrics.md
	PYTHONPATH=. $(BIN)/python benchmarks/compare_peers.py --write

bench-folder: $(VENV)/dev.done ## folders of pairs a minute, over cores, volumes and labels; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_folder.py --write

bench-overhead: $(VENV)/dev.done ## seconds per case beyond the model's: one session against a container for each case
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python benchmarks/bench_overhead.py

bench-grid: $(VENV)/dev.done ## simulated cohorts: is an image-blind model worse on PET; writes docs/confounds.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_grid.py

confounds: $(VENV)/dev.done ## floor, ceiling and controlled verdicts of the models without GPU on ibsi-sts and phantom-40; hours; writes docs/confounds.md
	PYTHONPATH=. $(BIN)/python benchmarks/confounds.py

bench-rounds: $(VENV)/dev.done ## six rounds in one session against a container for each case and round
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python benchmarks/bench_rounds.py

bench-zoo: $(VENV)/dev.done ## MODEL with WEIGHTS=random:full: targets and rounds in one session against each alone
	@.ci/ensure-engine
	$(BIN)/python benchmarks/bench_zoo.py $(MODEL) --weights $(WEIGHTS) $(ARGS)

bench-compare: $(VENV)/dev.done ## load, compare and rank half a million scores; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_compare.py --write

bench-report: $(VENV)/dev.done ## a report of half a million simulated scores; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_report.py --write

bench-pipeline: $(VENV)/dev.done ## how busy a model of 1 s a request is kept on full-size scans, by slots; ARGS="--cases 10"; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_pipeline.py --write $(ARGS)

bench-scale: $(VENV)/dev.done ## growth of a run with its subjects: time, memory, files, resume, tables; ARGS="--subjects 100 300 1000"; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_scale.py --write $(ARGS)

bench-challenge: $(VENV)/dev.done ## a challenge's queue with 100 and 500 submissions of a null image, 4 workers, SQLite and PostgreSQL; writes docs/benchmarks.md
	PYTHONPATH=. $(BIN)/python benchmarks/bench_challenge.py --write $(ARGS)

bench-portal: $(VENV)/dev.done ## a challenge's portal: 50 people at once, an upload of 1 GiB that is broken off twice; ARGS="--people 50 --upload-gib 4"
	PYTHONPATH=. $(BIN)/python benchmarks/bench_portal.py --upload-gib 1 $(ARGS)

challenge-rehearsal: $(VENV)/dev.done ## six teams, two tracks and 14 images from an empty folder OUT to a leaderboard, then disturbed; DATA, ARGS="--kills 20"; root and PostgreSQL
	@.ci/ensure-engine
	PYTHONPATH=. $(BIN)/python -m tests.challenges.rehearsal $(OUT) --data $(DATA) $(ARGS)

faults: $(VENV)/dev.done ## inject 31 faults into small runs (kills, full disks, torn files, clocks) and compare the scores; 20 minutes, as root; ARGS="--only torn"
	PYTHONPATH=. $(BIN)/python benchmarks/faults.py $(ARGS)

bench-statistics: $(VENV)/dev.done ## coverage, false positives and power on simulated subjects; writes docs/statistics.md
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python benchmarks/bench_statistics.py

code-metrics: $(VENV)/dev.done ## figures of the code's shape; ARGS="--commit REV" for another commit, --json, --list
	PYTHONPATH=. $(BIN)/python benchmarks/code_metrics.py $(ARGS)

clean: ## remove the environment and all caches; runs are kept
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
