"""The statistics of ``umd show``: over subjects, by hand, and equal to those of ``umd compare``."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from evaluator.analysis import interaction, summary
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.summary import metric_statistics, summarise
from evaluator.cli.show import print_table
from evaluator.errors import UserError
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import at_round
from tests.conftest import order
from tests.scored import facts, results
from tests.tiny import PAINTER, make_dataset

PAPER = replace(load_protocol("point-1"), failures_count_as="worst", distance_cap_mm=500.0)
KEY = ("m", "liver", "CT")


def scored(metric, *scores):
    """Score rows of one target on CT, each of another subject unless (subject, session, seed)."""
    run = facts("m", protocol="point-1")
    rows = []
    for number, (score, *unit) in enumerate(scores):
        subject, session, seed = unit or (f"s{number}", "a", 0)
        place = {"session": session, "seed": seed}
        rows.append((run, subject, "CT", "liver", metric, score, place))
    return results([run], rows)


def statistics(metric, *scores, protocol=PAPER):
    return metric_statistics(scored(metric, *scores).scores, metric, protocol)[KEY]


def test_failures_count_as_worst_or_not_at_all():
    scores = [(0.8,), (0.6,), ("crashed",), ("undefined",), ("not-run",)]
    worst = statistics("dice", *scores)
    assert worst["subjects"] == 3
    assert worst["mean_over_subjects"] == pytest.approx(1.4 / 3, abs=1e-6)
    assert worst["median_over_subjects"] == 0.6
    assert worst["mean_over_subjects_without_failures"] == pytest.approx(0.7)
    excluded = statistics("dice", *scores, protocol=replace(PAPER, failures_count_as="excluded"))
    assert excluded["subjects"] == 2
    assert excluded["mean_over_subjects"] == pytest.approx(0.7)
    assert excluded["mean_over_subjects_without_failures"] == pytest.approx(0.7)


def test_a_distance_to_an_empty_mask_counts_as_the_cap_and_a_volume_error_is_missing():
    scores = [(3.0,), ("one-empty",), ("timeout",)]
    distance = statistics("hd95", *scores)
    assert distance["mean_over_subjects"] == pytest.approx((3 + 500 + 500) / 3, abs=1e-5)
    assert distance["mean_over_subjects_without_failures"] == pytest.approx((3 + 500) / 2)
    assert statistics("volume_error_ml", *scores)["mean_over_subjects"] == 3.0


def test_nothing_to_average_is_none():
    empty = statistics("dice", ("undefined",), ("not-run",))
    assert empty.pop("subjects") == 0
    assert set(empty.values()) == {None}


def test_signed_metrics_are_averaged_by_magnitude_and_keep_a_signed_mean():
    error = statistics("rve", (-0.4,), (0.2,))
    assert error["mean_over_subjects"] == pytest.approx(0.3)
    assert error["signed_mean_over_subjects"] == pytest.approx(-0.1)


#: two sessions of one subject and one of another
SESSIONS = [(0.9, "x", "a", 0), (0.5, "x", "b", 0), (0.2, "y", "a", 0)]


def test_a_subject_with_two_sessions_counts_once():
    """x: (0.9 + 0.5) / 2 = 0.7; y: 0.2; mean over subjects 0.45, over predictions 1.6 / 3."""
    values = statistics("dice", *SESSIONS)
    assert values["subjects"] == 2
    assert values["mean_over_subjects"] == pytest.approx(0.45)
    assert values["mean_over_predictions"] == pytest.approx(1.6 / 3, abs=1e-6)
    assert values["median_over_subjects"] == pytest.approx(0.45)
    assert values["q1_over_subjects"] == pytest.approx(0.325)
    assert values["q3_over_subjects"] == pytest.approx(0.575)


def test_seeds_of_a_subject_are_averaged_first():
    """x: (1.0 + 0.0 + 0.5) / 3 = 0.5; y: 0.1; mean 0.3."""
    scores = [(1.0, "x", "a", 0), (0.0, "x", "a", 1), (0.5, "x", "b", 0), (0.1, "y", "a", 0)]
    assert statistics("dice", *scores)["mean_over_subjects"] == pytest.approx(0.3)


def test_compare_has_the_same_mean():
    means = compare(scored("dice", *SESSIONS), metrics=("dice",), resamples=99).means
    rows = means[(means["target"] == "liver") & (means["modality_pair"] == "all")]
    row = rows[rows["failures"] == "counted"].iloc[0]
    values = statistics("dice", *SESSIONS)
    assert (row["n"], row["predictions"]) == (2, 3)
    for name in ("mean", "median", "q1", "q3"):
        assert row[name] == pytest.approx(values[f"{name}_over_subjects"])


def test_show_and_compare_agree_on_a_run(project, tmp_path, capsys):
    """A run of two sessions of one subject and one session of another."""
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["x", "y", "z"])
    table = tmp_path / "data" / "tiny.tsv"
    table.write_text(table.read_text().replace("\nz\ta\t", "\nx\tb\t"))
    run = order("painter", data, "point-1", engine="local")
    entries = summarise(run)
    means = compare(summary.load(run), resamples=99).means
    means = means[(means["modality_pair"] == "all") & (means["failures"] == "counted")]
    assert {entry["subjects"] for entry in entries} == {2}
    assert {entry["predictions"] for entry in entries} == {3}
    for entry in entries:
        rows = means[(means["target"] == entry["target"]) & (means["metric"] == entry["metric"])]
        (row,) = rows[rows["modality"] == entry["modality"]].to_dict("records")
        assert (row["n"], row["predictions"]) == (entry["subjects"], entry["predictions"])
        assert row["mean"] == pytest.approx(entry["mean_over_subjects"], abs=1e-6)
    print_table(run)
    printed = capsys.readouterr().out
    for word in ("subjects", "predictions", "over subjects"):
        assert word in printed


def test_statistics_over_rounds_are_over_subjects():
    """Curves of x: (0.2, 0.8), (0.4, 1.0), mean (0.3, 0.9); of y: (0.5, 0); mean (0.4, 0.45)."""
    series = {
        ("x", "x.a", "CT", "liver", 0): [0.2, 0.8],
        ("x", "x.b", "CT", "liver", 0): [0.4, 1.0],
        ("y", "y.a", "CT", "liver", 0): [0.5, None],
    }
    given = [[1, 2]] * 3
    values = interaction._statistics(series, given, 2, 2)
    assert (values["subjects"], values["predictions"], values["failed_rounds"]) == (2, 3, 1)
    assert values["curve"] == pytest.approx([0.4, 0.45])
    assert values["area"] == pytest.approx((0.6 + 0.25) / 2)
    assert values["noc"]["0.80"] == {"clicks": 2.0, "never": 1}
    assert values["first_gain"] == pytest.approx(0.6)


def test_the_last_round_of_each_prediction():
    """A prediction that ended early keeps its last round; the protocol has to have the round."""
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
