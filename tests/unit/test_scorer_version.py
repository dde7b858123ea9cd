"""Scores name the version of the scorer; a model without clicks says that it has round 0 alone."""

from __future__ import annotations

from dataclasses import replace

import evaluator
from evaluator.analysis.data_warnings import warnings_of_runs
from evaluator.analysis.interaction import summarise_rounds
from evaluator.analysis.scorer_versions import scorer_line, scorer_versions
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.scorers import read_scorers
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


def test_scores_of_another_scorer_are_named_and_computed_again_on_resume(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"))
    run = order("painter", data, "box", engine="local")
    assert scorer_versions(run) == read_scorers(run) == [SCORER_VERSION]
    assert scorer_line(run, "painter") == []
    scores = run.scores("a.a", "PT")
    wrong = [replace(row, value=0.123) if row.value is not None else row for row in scores.rows]
    run.write_scores(replace(scores, rows=tuple(wrong), scorer=0))
    assert scorer_versions(run) == [0, SCORER_VERSION]
    (line,) = [line for line in warnings_of_runs(evaluator.load(run).runs) if "scorer" in line]
    assert line.startswith("painter: scores by an earlier version of the scorer")
    assert f"umd score {run.name}" in line
    written_at = run.record_path("a.a", "PT").stat().st_mtime_ns
    order("painter", data, "box", engine="local")
    assert run.scores("a.a", "PT") == scores
    assert run.record_path("a.a", "PT").stat().st_mtime_ns == written_at


def test_a_model_without_clicks_takes_part_in_round_0(project, tmp_path):
    project({"painter": PAINTER}, prompts="box,mask")
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "PT"))
    alone = order("painter", data, "box", engine="local")
    run = order("painter", data, "box-clicks-5", engine="local")
    record = run.record("a.a", "PT")
    assert [entry.round for entry in record.rounds] == [0]
    assert record.stop_reasons[0]["liver"].reason == "no-corrections"
    (mask,) = record.masks()
    assert mask.sha256 == alone.record("a.a", "PT").masks()[0].sha256
    lines = warnings_of_runs(evaluator.load(run).runs)
    assert "painter takes no clicks: its masks of round 0 stand for later rounds." in lines
    for entry in summarise_rounds(run):
        assert len(set(entry["curve"])) == 1
    refused = order("painter", data, "cvpr25", engine="local")
    statuses = {str(status) for status in evaluator.load(refused).predictions["status"]}
    assert statuses == {"unsupported"}
