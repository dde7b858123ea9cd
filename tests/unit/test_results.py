"""Runs as tidy frames.

They come from the gathered tables where these are current, else from the records. Both have
equal content.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import evaluator
from benchmarks.simulate import simulate_run
from evaluator.errors import RunConflictError, UnknownNameError, UserError
from evaluator.files import read_json, write_json
from evaluator.runs.tables import COLUMNS, PREDICTION_COLUMNS, gather, gathered
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def run(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen"))
    return order("painter", data, engine="local")


def test_a_run_is_loaded_as_frames(run):
    results = evaluator.load(run.path)
    assert tuple(results.scores.columns) == COLUMNS
    assert tuple(results.predictions.columns) == PREDICTION_COLUMNS
    assert len(results.predictions) == 2 * 2 * 2
    assert len(results.scores) == 8 * 5
    (facts,) = results.runs
    assert (facts.model, facts.label, facts.synthetic, facts.isolates, facts.engine) == (
        "painter", "painter", True, False, "local",
    )  # fmt: skip
    assert facts.random_weights is False
    assert facts.protocol == "point-1"
    row = results.predictions.iloc[0]
    assert row["status"] == "ok"
    assert facts.store.masks.content(row["mask"])
    assert row["voxels"] == 1
    assert row["voxel_ml"] == pytest.approx(2 * 2.5 * 3 / 1000)
    assert row["interactions"] == 1
    assert row["anchor"] == "CT"
    assert row["displacement_mm"] == 0
    assert row["seconds"] > 0
    assert results.run(facts.name) is facts
    with pytest.raises(UnknownNameError):
        results.run("nothing")
    assert list(results.run_table()["name"]) == [facts.name]


def test_records_and_tables_give_equal_frames(run):
    fast = evaluator.load(run.path)
    assert gathered(run, "scores") is not None
    for name in ("scores", "predictions"):
        (run.path / f"{name}.parquet").unlink()
    slow = evaluator.load(run.path)
    for name in ("scores", "predictions"):
        pd.testing.assert_frame_equal(getattr(fast, name), getattr(slow, name))


@pytest.mark.parametrize("kind", ["records", "scores", "prompts"])
def test_tables_older_than_the_records_are_not_used(run, kind):
    path = next((run.path / kind).rglob("*.json"))
    body = read_json(path)
    if kind == "scores":
        body["rows"][0]["value"] = 0.123
    path.unlink()
    write_json(path, body)
    assert gathered(run, "scores") is None
    if kind == "scores":
        assert 0.123 in set(evaluator.load(run.path).scores["value"])
    gather(run)
    assert gathered(run, "scores") is not None


def test_a_damaged_table_is_not_used(run):
    (run.path / "scores.parquet").write_bytes(b"PAR1 nonsense")
    assert len(evaluator.load(run.path).scores) == 40


def test_a_scan_without_a_request_has_a_row_with_the_reason(project, tmp_path):
    project({"painter": PAINTER}, inputs="CT")
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    (tmp_path / "data" / "b_CT_image.nii.gz").unlink()
    results = evaluator.load(order("painter", data, engine="local", force=True))
    predictions = results.predictions.set_index(["subject", "modality"])[["status", "detail"]]
    assert predictions.loc[("a", "CT"), "status"] == "ok"
    assert predictions.loc[("a", "PT"), "status"] == "unsupported"
    assert "does not take PT" in predictions.loc[("a", "PT"), "detail"]
    assert predictions.loc[("b", "CT"), "status"] == "not-run"
    assert "missing" in predictions.loc[("b", "CT"), "detail"]


def test_several_runs_form_a_table_and_a_repeated_run_counts_once(project, tmp_path):
    project({"painter": PAINTER, "other": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"])
    runs = [order(model, data, engine="local") for model in ("painter", "other")]
    results = evaluator.load([runs[0], str(runs[1].path), runs[0].name])
    assert sorted(results.scores["model"].unique()) == ["other", "painter"]
    assert len(results.runs) == 2
    (group,) = results.groups()
    assert group.synthetic
    assert group.protocol.id == "point-1"
    assert len(group.results.scores) == len(results.scores)


def test_two_runs_of_the_same_model_are_labelled_with_their_names(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"])
    runs = [order("painter", data, engine="local", name=name) for name in ("first", "second")]
    results = evaluator.load(runs)
    assert sorted(results.scores["model"].unique()) == ["painter [first]", "painter [second]"]
    assert {run.model for run in results.runs} == {"painter"}


def test_different_dataset_or_protocol_versions_are_refused(project, tmp_path):
    project({"painter": PAINTER, "other": PAINTER})
    first = order("painter", make_dataset(tmp_path / "one", ["a", "b"]), engine="local")
    second = order("other", make_dataset(tmp_path / "two", ["a", "b", "c"]), engine="local")
    with pytest.raises(
        RunConflictError,
        match=f"{first.name} and {second.name} are of two versions of dataset tiny",
    ):
        evaluator.load([first, second]).groups()
    body = read_json(second.path / "run.json")
    body["identity"]["protocol_sha256"] = "0" * 64
    write_json(second.path / "run.json", body)
    with pytest.raises(RunConflictError, match="another content"):
        evaluator.load(second).groups()


def test_missing_runs_are_refused():
    with pytest.raises(UnknownNameError, match="no run named"):
        evaluator.load("nothing")
    with pytest.raises(UserError, match="no run to load"):
        evaluator.load([])


def test_two_folders_with_the_same_name_are_refused(tmp_path):
    runs = [
        simulate_run(tmp_path / folder, "m", "paper", pet_ct=1, pet_mr=0) for folder in ("a", "b")
    ]
    with pytest.raises(RunConflictError, match="rename one"):
        evaluator.load(runs)


def test_random_weights_are_recognised(tmp_path):
    run = simulate_run(tmp_path, "m", "paper", pet_ct=1, pet_mr=0)
    body = read_json(run.path / "run.json")
    body["card"]["umd.weights"] = "random:full"
    write_json(run.path / "run.json", body)
    assert evaluator.load(run).runs[0].random_weights


def test_a_run_without_records_is_empty(tmp_path):
    run = simulate_run(tmp_path, "m", "paper", pet_ct=0, pet_mr=0)
    results = evaluator.load(run)
    assert (len(results.scores), len(results.predictions)) == (0, 0)
    assert tuple(results.scores.columns) == COLUMNS


def test_a_row_of_scores_takes_few_bytes(tmp_path):
    runs = [simulate_run(tmp_path, model, "paper", pet_ct=20, pet_mr=20) for model in ("a", "b")]
    results = evaluator.load(runs)
    row_bytes = results.scores.memory_usage(deep=True).sum() / len(results.scores)
    assert row_bytes < 80  # names included
    assert np.isfinite(results.scores["value"].dropna().to_numpy(dtype=float)).all()


def test_importing_the_package_loads_no_large_library():
    code = "import evaluator, sys; print(json.dumps(sorted(sys.modules)))".replace(
        "import evaluator", "import json, evaluator"
    )
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not {"pandas", "numpy", "pydantic"} & set(json.loads(modules))
