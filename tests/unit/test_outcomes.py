"""A run that failed looks like one: reasons, the log's place, and the exit status."""

from __future__ import annotations

import pandas as pd
import pytest

from evaluator.analysis.outcomes import has_masks, outcomes
from evaluator.analysis.summary import summarise
from evaluator.cli.progress import Progress, describe_seconds
from evaluator.runs.reproducibility import describe_reproducibility
from tests.command import umd
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

#: fails on PET with a message, and paints elsewhere
CRASHING = PAINTER.replace(
    "    def predict(self, request):",
    "    def predict(self, request):\n"
    "        if list(request.images)[0] == 'PT' or ALWAYS:\n"
    "            raise ValueError('weights of another network')",
)


def crashing(*, always: bool) -> str:
    return f"ALWAYS = {always}\n{CRASHING}"


def test_a_model_that_always_fails(project, tmp_path):
    project({"painter": crashing(always=True)})
    data = make_dataset(tmp_path / "data", ["a"], targets=("liver", "spleen"))
    command = ["run", "-m", "painter", "-d", data, "-p", "point-1", "--engine", "local"]
    done = umd(*command)
    assert done.returncode == 11, done.stderr
    assert "no prediction has a mask: painter" in done.stderr
    assert "Predictions: 4 error." in done.stdout
    assert "error, the first of 4: a.a CT, liver: " in done.stdout
    assert "ValueError: weights of another network" in done.stdout
    assert "the same masks" not in done.stdout
    assert "there is no mask to tell" in done.stdout
    assert "umd compare" not in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("painter ")]
    assert len(lines) == 2
    assert any("a.a CT: 2 error of 2; liver: " in line for line in lines)
    assert all("weights of another network" in line for line in lines)


def test_a_model_that_fails_on_one_modality(project, tmp_path):
    project({"painter": crashing(always=False)})
    data = make_dataset(tmp_path / "data", ["a"])
    run = order("painter", data, engine="local")
    assert has_masks(run)
    assert [(outcome.status, outcome.count) for outcome in outcomes(run)] == [
        ("ok", 1),
        ("error", 1),
    ]
    shown = umd("show", run.path)
    assert shown.returncode == 0
    assert "Predictions: 1 ok, 1 error." in shown.stdout
    assert f"umd log {run.name}" in shown.stdout


def test_a_modality_that_is_unsupported_has_no_score(project, tmp_path):
    project({"painter": PAINTER}, inputs="CT")
    run = order("painter", make_dataset(tmp_path / "data", ["a", "b"]), engine="local")
    ct, pet = summarise(run)
    assert (ct["unsupported"], ct["failed"], ct["predictions"]) == (0, 0, 2)
    assert (pet["unsupported"], pet["failed"], pet["predictions"]) == (2, 0, 2)
    assert pet["subjects"] == 0
    assert pet["mean_over_subjects"] is None
    csv = umd("show", run.path, "--csv")
    frame = pd.read_csv(pd.io.common.StringIO(csv.stdout)).set_index("modality")
    assert frame.loc["PT", "unsupported"] == 2
    assert pd.isna(frame.loc["PT", "dice_mean_over_subjects"])


def test_what_the_model_does_not_take_is_told_once_before_the_run(project, tmp_path):
    project({"painter": PAINTER}, prompts="box")
    data = make_dataset(tmp_path / "data", ["a", "b"])
    done = umd("run", "-m", "painter", "-d", data, "-p", "point-1", "--engine", "local")
    assert done.returncode == 11
    (first,) = (line for line in done.stderr.splitlines() if "unsupported on" in line)
    assert first.startswith("warning: painter: unsupported on 4 of 4 scans: the protocol gives ")
    assert "the model understands box; protocols that it supports: box, " in first
    assert done.stderr.count("the model understands box") == 2
    assert done.stderr.count(": unsupported, as above") == 3


def test_why_nothing_was_predicted_again(project, tmp_path):
    project({"painter": PAINTER})
    run = order("painter", make_dataset(tmp_path / "data", ["a"]), engine="local")
    assert "(no scan was predicted again)" in describe_reproducibility(run)
    next((run.path / "records").glob("*/*.json")).unlink()
    assert "(the run is incomplete)" in describe_reproducibility(run)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(12.3, "about 12 s"), (240, "about 4 min"), (7200, "about 2.0 h")],
)
def test_describe_seconds(seconds, words):
    assert describe_seconds(seconds) == words


def test_the_time_left_counts_scans_that_took_time(messages, monkeypatch):
    """The first of them also waits for the start of the model, unless all come in batches."""
    for batch, first, second in (
        (True, " (about 2 min left)", " (about 60 s left)"),
        (False, "", " (about 40 s left)"),
    ):
        clock = iter([0.0, 40.0, 60.0])
        monkeypatch.setattr("evaluator.cli.progress.time.monotonic", clock.__next__)
        messages.clear()
        with Progress("m", batch=batch) as progress:
            progress.step(1, 5, "a CT: done before")
            progress.step(2, 5, "a PT: done")
            progress.step(3, 5, "b CT: 1 crashed of 2; liver: no memory")
        lines = [line for line in messages if line.startswith("m ")]
        assert lines == [
            "m 1/5 a CT: done before",
            f"m 2/5{first} a PT: done",
            f"m 3/5{second} b CT: 1 crashed of 2; liver: no memory",
        ]
