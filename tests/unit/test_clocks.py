"""A clock that is set back changes no duration, and is told where times are compared."""

from __future__ import annotations

import ast
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from evaluator import paths
from evaluator.containers.batch import _Batch
from evaluator.evaluation.provenance import clock_warning

START = "2026-11-28T12:00:00+00:00"


@pytest.mark.parametrize(
    ("hours", "warned"), [(0.0, False), (1.0, False), (-0.05, False), (-0.1, True), (-24.0, True)]
)
def test_a_clock_behind_the_start_of_the_run_is_told(hours, warned):
    now = datetime.fromisoformat(START) + timedelta(hours=hours)
    warning = clock_warning(START, now)
    assert bool(warning) == warned
    if warned:
        assert START in warning
        assert now.astimezone(UTC).isoformat(timespec="seconds") in warning


@pytest.mark.parametrize("set_by", [-86400.0, -1.0, 0.0, 1.0, 86400.0])
def test_a_request_of_a_batch_takes_the_time_that_passed(tmp_path, monkeypatch, set_by):
    """By the time of its file, which is of another clock than the evaluator's durations."""
    answer = tmp_path / "r0"
    answer.mkdir()
    contract = SimpleNamespace(answer_path=lambda request, output: answer)
    batch = _Batch(contract, None, SimpleNamespace(output=tmp_path), [], None, None, 0.0)
    since, real = time.perf_counter() - 5.0, time.time
    monkeypatch.setattr(time, "time", lambda: real() + set_by)
    answered = batch._answered_at(None, since)
    assert since <= answered <= time.perf_counter()
    if set_by == 0.0:
        assert answered - since == pytest.approx(5.0, abs=1.0)


def test_no_duration_is_measured_by_a_clock_that_can_be_set():
    """``time.time`` is read for ages of files and containers alone.

    They are an answer, a container whose run is gone, a process's sign of life (shown only), an
    upload that nobody continues, and leftovers of killed processes.
    """
    readers = []
    for path in (paths.project() / "evaluator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time":
                readers.append(path.name)
    assert sorted(readers) == [
        "batch.py",
        "damaged_files.py",
        "incoming.py",
        "orphans.py",
        "run_status.py",
        "upload_files.py",
    ]
