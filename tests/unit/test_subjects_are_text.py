"""Subjects and targets whose names look like numbers or missing values stay text."""

from __future__ import annotations

import json

import evaluator
from evaluator.datasets import load_dataset
from tests.command import umd
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

SUBJECTS = ["001", "01", "1e5", "NA", "None", "nan", "null", "true"]


def test_names_like_na_and_001_are_text_in_every_table(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", SUBJECTS, ("CT",), targets=("NA",))
    assert sorted(case.subject for case in load_dataset(str(data)).cases) == SUBJECTS
    run = order("painter", data, engine="local", name="r")
    scores = evaluator.load([run.path]).scores
    assert sorted(set(scores["subject"])) == SUBJECTS
    assert set(scores["target"]) == {"NA"}
    shown = [json.loads(line) for line in umd("show", run.path, "--json").stdout.splitlines()]
    assert {(row["target"], row["subjects"]) for row in shown} == {("NA", len(SUBJECTS))}
