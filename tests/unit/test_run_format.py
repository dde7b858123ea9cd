"""The files of a run folder: typed, versioned, and those of format 1 still open.

``tests/fixtures/format-1`` holds two runs that umd made before formats had a number (commit
6e313fc), their dataset, and what ``umd show --json`` printed of one of them then.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

import evaluator
from evaluator.analysis.scorer_versions import scorer_versions
from evaluator.errors import UserError
from evaluator.files import fingerprint, read_json, write_json
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.report import Options, build_report
from evaluator.runs.json_types import FORMAT, convert, dump, read_typed, write_typed
from evaluator.runs.names import open_run
from evaluator.runs.records import CasePrompts, ScanRecord, ScanScores
from evaluator.runs.run_info import RunInfo
from evaluator.runs.store import RunStore
from evaluator.runs.tables import read_predictions, read_scores
from evaluator.scoring.rescore import score_run
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

FIXTURE = Path(__file__).parents[1] / "fixtures" / "format-1"
NAMES = ("format-1.random-walker", "format-1.ellipsoid")


@pytest.fixture
def old_runs(tmp_path, monkeypatch) -> list[RunStore]:
    """Copies of the runs of format 1, with their dataset."""
    shutil.copytree(FIXTURE, tmp_path / "old")
    monkeypatch.setenv("UMD_RUNS", str(tmp_path / "old" / "runs"))
    stores = [open_run(name) for name in NAMES]
    for store in stores:
        path = store.path / "run.json"
        body = json.loads(path.read_text())
        assert "format" not in body
        body["dataset_source"] = str(tmp_path / "old" / "data" / "tiny.toml")
        path.write_text(json.dumps(body))
    return stores


def test_a_run_of_format_1_is_read(old_runs):
    store = old_runs[0]
    info = store.info()
    assert info.identity.model == "random-walker"
    assert (info.engine.name, info.engine.isolates) == ("local", False)
    assert info.engine.versions == {"python": "3.11.7"}
    assert info.format == FORMAT
    record = store.record("a.a", "PT")
    assert record.session == "a"
    assert record.rounds[0].targets["liver"].interactions == 1
    assert record.stop_reasons[0]["liver"].reason
    assert record.clicks_sha256 == fingerprint(_clicks_of(store.record_path("a.a", "PT")))
    not_run = store.record("c.a", "PT")
    assert not_run.state == "not-run"
    assert not_run.reason.startswith("image and reference do not match")
    assert store.reproducibility().verdict == "equal"
    assert store.prompts("a.a").scan("PT").prompts[0]["liver"].box is not None


def _clicks_of(path):
    clicks: dict = {}
    for entry in read_json(path)["rounds"]:
        for target, points in entry["added"].items():
            clicks.setdefault(str(entry["seed"]), {}).setdefault(target, []).extend(points)
    return clicks


def test_a_run_of_format_1_is_shown(old_runs):
    from evaluator.analysis.run_header import header

    results = evaluator.load([store.path for store in old_runs])
    assert {run.model for run in results.runs} == {"random-walker", "ellipsoid"}
    scores = results.scores[results.scores["run"] == NAMES[0]]
    printed = {(row["target"], row["modality"]): row for row in _printed()}
    for (target, modality), rows in scores[
        (scores["metric"] == "dice") & (scores["status"] == "ok")
    ].groupby(["target", "modality"], observed=True):
        last = rows[rows["round"] == rows.groupby("case", observed=True)["round"].transform("max")]
        expected = printed[target, modality]["mean"]
        assert float(last["value"].mean()) == pytest.approx(expected, abs=1e-6)
    assert any("SYNTHETIC" in line for line in header(old_runs[0]))


def _printed():
    return [json.loads(line) for line in (FIXTURE / "show.json").read_text().splitlines()]


def test_a_run_of_format_1_is_scored_again_with_the_same_scores(old_runs):
    for store in old_runs:
        before = read_scores(store)
        predictions = read_predictions(store)
        assert scorer_versions(store) == [0]
        score_run(store)
        assert scorer_versions(store) == [SCORER_VERSION]
        assert read_scores(store).equals(before)
        assert read_predictions(store).equals(predictions)
        scores = read_json(store.score_path("a.a", "PT"))
        assert scores["format"] == FORMAT


def test_a_run_of_format_1_is_reported(old_runs, tmp_path):
    index = build_report(
        [store.path for store in old_runs], tmp_path / "site", Options(title="old")
    )
    text = index.read_text()
    assert "random-walker" in text
    assert "ellipsoid" in text


def test_a_new_run_has_the_format_in_every_file(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    run = order("painter", data, "box-clicks-5", engine="local", recheck=1)
    files = list(run.path.rglob("*.json"))
    assert {path.relative_to(run.path).parts[0] for path in files} == {
        "run.json", "checks.json", "prompts", "records", "scores", "limits", "reproducibility.json",
        "files.json", "finished.json", "processes",
    }  # fmt: skip
    assert {read_json(path)["format"] for path in files} == {FORMAT}


@pytest.mark.parametrize("kind", [RunInfo, ScanRecord, ScanScores, CasePrompts])
def test_what_is_written_is_read_as_it_was(old_runs, tmp_path, kind):
    store = old_runs[0]
    value = {
        RunInfo: store.info(),
        ScanRecord: store.record("a.a", "CT"),
        ScanScores: store.scores("a.a", "CT"),
        CasePrompts: store.prompts("a.a"),
    }[kind]
    assert is_dataclass(value)
    write_typed(tmp_path / "file.json", value)
    assert read_typed(kind, tmp_path / "file.json") == value
    assert convert(kind, dump(value)) == value
    assert {field.name for field in fields(value)} >= set(dump(value))


def test_a_file_of_a_newer_format_is_refused(old_runs):
    path = old_runs[0].record_path("a.a", "CT")
    write_json(path, read_json(path) | {"format": FORMAT + 1})
    with pytest.raises(UserError, match=f"has format {FORMAT + 1}.*use a newer umd"):
        old_runs[0].record("a.a", "CT")


@pytest.mark.parametrize(
    "body",
    [
        {"case": "a.a"},
        {"format": 2, "case": "a.a", "modality": "XX"},
        {"format": "two"},
        {"rounds": [None]},
        {"rounds": 3},
    ],
)
def test_a_damaged_record_is_an_error_that_names_the_file(old_runs, body):
    path = old_runs[0].record_path("a.a", "CT")
    write_json(path, body)
    with pytest.raises(UserError, match=r"CT\.json"):
        old_runs[0].record("a.a", "CT")


def test_numbers_that_are_no_json_are_refused(old_runs, tmp_path):
    from dataclasses import replace

    scores = old_runs[0].scores("a.a", "CT")
    broken = replace(scores, rows=(replace(scores.rows[0], value=np.nan),))
    with pytest.raises(ValueError, match="JSON"):
        write_typed(tmp_path / "file.json", broken)
    assert not (tmp_path / "file.json").exists()
