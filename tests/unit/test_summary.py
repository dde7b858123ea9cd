from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from evaluator.analysis.summary import figures
from evaluator.errors import UserError
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import at_round

PAPER = replace(load_protocol("point-1"), failures_count_as="worst", distance_cap_mm=500.0)


def _frame(*pairs):
    frame = pd.DataFrame(list(pairs), columns=["value", "status"])
    return frame.astype({"value": "Float64"})


def test_failures_count_as_worst_or_not_at_all():
    frame = _frame(
        (0.8, "ok"), (0.6, "ok"), (None, "crashed"), (None, "undefined"), (None, "not-run")
    )
    found = figures(frame, "dice", PAPER)
    assert found["mean"] == pytest.approx(1.4 / 3, abs=1e-6)
    assert found["median"] == 0.6
    assert found["scored_mean"] == pytest.approx(0.7)
    left_out = figures(frame, "dice", replace(PAPER, failures_count_as="excluded"))
    assert left_out["mean"] == left_out["scored_mean"] == pytest.approx(0.7)


def test_a_distance_to_nothing_counts_as_the_cap_and_a_volume_as_nothing():
    frame = _frame((3.0, "ok"), (None, "one-empty"), (None, "timeout"))
    assert figures(frame, "hd95", PAPER)["mean"] == pytest.approx((3 + 500 + 500) / 3, abs=1e-5)
    assert figures(frame, "hd95", PAPER)["scored_mean"] == pytest.approx((3 + 500) / 2)
    assert figures(frame, "volume_error_ml", PAPER)["mean"] == 3.0


def test_nothing_to_average_is_none():
    found = figures(_frame((None, "undefined"), (None, "not-run")), "dice", PAPER)
    assert set(found.values()) == {None}


def test_the_last_round_of_each_prediction():
    """One that ended early keeps its last round, whichever is asked for; a round that the protocol lacks is refused."""
    rows = [("x", "a", "CT", "liver", 0, r) for r in range(3)] + [("x", "b", "CT", "liver", 0, 0)]
    frame = pd.DataFrame(rows, columns=["run", "case", "modality", "target", "seed", "round"])
    protocol = load_protocol("clicks-10")
    assert list(at_round(frame, None, protocol)["round"]) == [2, 0]
    assert [tuple(row) for row in at_round(frame, 1, protocol)[["case", "round"]].to_numpy()] == [
        ("a", 1),
        ("b", 0),
    ]
    assert list(at_round(frame, 9, protocol)["round"]) == [2, 0]
    for number in (-1, 10):
        with pytest.raises(UserError, match="its rounds are 0 to 9"):
            at_round(frame, number, protocol)
