"""A contract whose requests hold one target: the targets of a scan are asked for one by one."""

from __future__ import annotations

import pandas as pd
import pytest

from evaluator.containers.contracts.native import NativeContract
from evaluator.containers.contracts.sockets import parse_sockets
from evaluator.runs.tables import read_predictions, read_scores
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

#: answers one target only, and fails where it gets two
ONE = PAINTER.replace(
    "        def paint(target):",
    "        assert len(request.targets) == 1\n        def paint(target):",
)


def test_scores_are_those_of_requests_with_all_targets(project, tmp_path, monkeypatch):
    project({"painter": PAINTER, "one": ONE})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",), ("liver", "spleen"))
    together = order("painter", data, "box-clicks-5", engine="local")
    monkeypatch.setattr(NativeContract, "single_target", True)
    apart = order("one", data, "box-clicks-5", engine="local", recheck=1)
    assert apart.reproducibility().verdict == "equal"
    columns = ["case", "modality", "seed", "round", "target", "metric", "value", "status"]
    first, second = (
        read_scores(run)[columns].sort_values(columns[:-2]).reset_index(drop=True)
        for run in (together, apart)
    )
    assert first["target"].nunique() == 2
    pd.testing.assert_frame_equal(first, second)
    (record,) = apart.records()
    requests = {entry.request for entry in record.rounds}
    assert len(requests) == len(record.rounds) == 2 * 6
    assert set(record.stop_reasons[0]) == {"liver", "spleen"}
    interactions = [read_predictions(run)["interactions"].tolist() for run in (together, apart)]
    assert sorted(interactions[0]) == sorted(interactions[1])


@pytest.mark.parametrize(
    ("clicks", "targets", "single"),
    [
        (False, {"liver": 1, "spleen": 2}, False),
        (False, {"*": 1}, True),
        (True, {"liver": 1, "spleen": 2}, True),
    ],
)
def test_points_name_no_target(clicks, targets, single):
    body = {
        "inputs": {"ct": {"path": "images/ct", "modality": "CT"}},
        "outputs": {"s": {"path": "images/s", "targets": targets}},
    }
    if clicks:
        body["inputs"]["clicks"] = {"path": "clicks.json"}
    assert parse_sockets(body, "x").single_target is single
