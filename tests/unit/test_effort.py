"""The effort of a prompt: counted from records, in the tables, beside the score."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

import evaluator
from evaluator.cli.main import umd
from evaluator.report.benchmark import make_benchmarks
from evaluator.report.pages.effort_table import effort_rows, effort_table
from evaluator.runs.effort import Effort, efforts
from evaluator.runs.records import RoundRecord, ScanRecord, TargetRecord
from evaluator.types import Status, TargetPrompt
from tests.tiny import PAINTER, make_dataset, make_project
from zoo_sdk.wire import Box, Point

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


def point(*ras_mm: float) -> Point:
    return Point(index=(0, 0, 0), ras_mm=ras_mm)


def test_points_boxes_clicks_and_scribbles_are_counted_up_to_each_round() -> None:
    done = {"liver": TargetRecord(status=Status.OK)}
    line = (point(0, 0, 0), point(3, 4, 0), point(3, 4, 12))
    rounds = (
        RoundRecord(seed=0, round=2, targets=done, added={"liver": line}),
        RoundRecord(seed=0, round=1, targets=done, added={"liver": (point(1, 1, 1),)}),
        RoundRecord(seed=0, round=0, targets=done | {"spleen": done["liver"]}),
        RoundRecord(seed=1, round=0, targets=done),
    )
    record = ScanRecord(
        case="a.a", subject="a", session="a", modality="CT", key="", state="done", rounds=rounds
    )
    box = TargetPrompt(target="liver", box=Box(low=(0, 0, 0), high=(1, 1, 1)))
    points = TargetPrompt(target="liver", points=(point(0, 0, 0), point(1, 0, 0)))
    found = efforts(record, {0: {"liver": box}, 1: {"liver": points}})
    assert found == {
        (0, 0, "liver"): Effort(boxes=1),
        (0, 1, "liver"): Effort(clicks=1, boxes=1),
        (0, 2, "liver"): Effort(clicks=1, boxes=1, scribble_mm=17.0),
        (1, 0, "liver"): Effort(clicks=2),
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunStore]:
    folder = tmp_path_factory.mktemp("effort")
    dataset = make_dataset(folder / "data", ["a", "b"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UMD_CACHE", str(folder / "cache"))
        patch.setenv(
            "UMD_PROJECT",
            str(
                make_project(
                    folder / "project", {"painter": PAINTER}, prompts="point,box,mask,scribble"
                )
            ),
        )
        patch.setenv("UMD_RUNS", str(folder / "runs"))
        return {
            name: evaluator.run("painter", dataset, name, engine="local", gpus=(), recheck=0)
            for name in ("point-3", "box-clicks-5", "scribble-5")
        }


def test_the_tables_have_the_effort_of_every_prediction(runs) -> None:
    points = evaluator.load(runs["point-3"].path).predictions
    assert set(points["clicks"]) == {3}
    assert set(points["boxes"]) == {0}
    clicks = evaluator.load(runs["box-clicks-5"].path).predictions
    assert (clicks["boxes"] == 1).all()
    assert (clicks["clicks"] == clicks["round"]).all()
    assert (clicks["clicks"] + clicks["boxes"] == clicks["interactions"]).all()
    scribbles = evaluator.load(runs["scribble-5"].path).predictions
    record = runs["scribble-5"].record("a.a", "CT")
    rows = scribbles[(scribbles["case"] == "a.a") & (scribbles["modality"] == "CT")]
    length = 0.0
    assert len(record.rounds) > 1
    for entry, (_, row) in zip(record.rounds, rows.iterrows(), strict=True):
        line = [np.array(point.ras_mm) for point in entry.added.get("liver", ())]
        length += sum(float(np.linalg.norm(b - a)) for a, b in pairwise(line))
        assert row["scribble_mm"] == pytest.approx(length)
    assert length > 0


def test_show_and_report_have_the_effort_beside_the_score(runs) -> None:
    run = runs["box-clicks-5"]
    shown = CliRunner().invoke(umd, ["show", str(run.path), "--json"], catch_exceptions=False)
    entry = json.loads(shown.stdout.splitlines()[0])
    assert entry["effort"]["boxes"] == 1
    assert entry["effort"]["clicks"] > 0
    results = evaluator.load(run.path)
    (benchmark,) = make_benchmarks(results, evaluator.compare(results))
    rows = effort_rows(benchmark)
    first = rows[(rows["modality"] == "CT") & (rows["round"] == 0)].iloc[0]
    assert (first["clicks"], first["boxes"], first["subjects"]) == (0, 1, 2)
    scores = results.scores
    dice = scores[(scores["metric"] == "dice") & (scores["modality"] == "CT")]
    assert first["score"] == pytest.approx(float(dice[dice["round"] == 0]["value"].mean()))
    assert rows["clicks"].max() == results.predictions["clicks"].max()
    assert [column.title for column in effort_table(benchmark).columns][3:6] == [
        "clicks", "boxes", "scribble, mm",
    ]  # fmt: skip
