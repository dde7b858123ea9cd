"""Rankings of results: weights, failures, and what cannot be ranked."""

from __future__ import annotations

import pytest

from evaluator.analysis.ranking import FRAMES, rank
from evaluator.errors import UnknownNameError, UserError
from tests.scored import facts, paired, results


def data(**models):
    """Models that have these Dice scores on CT and PET, of two organs and six subjects."""
    runs = [facts(name) for name in models]
    rows = [
        row
        for run in runs
        for organ in ("liver", "spleen")
        for row in paired(run, {organ: [models[run.label]] * 6})
    ]
    return results(runs, rows)


def places(made, order="aggregate-then-rank"):
    own = made.ranks[made.ranks["order"] == order]
    return dict(zip(own["model"], own["place"], strict=True))


def test_all_frames_and_both_orders():
    made = rank(data(a=(0.9, 0.8), b=(0.7, 0.9), c=(0.1, 0.1)), metrics=("dice",), resamples=50)
    for name, columns in FRAMES.items():
        assert list(getattr(made, name).columns) == list(columns)
    assert places(made) == places(made, "rank-then-aggregate") == {"a": 1, "b": 1, "c": 3}
    assert made.distribution.groupby(["order", "model"])["share"].sum().tolist() == pytest.approx(
        [1] * 6
    )
    assert set(made.stability["tasks"]) == {4}


def test_declared_weights_decide():
    scores = data(a=(0.9, 0.5), b=(0.7, 0.6))
    assert places(rank(scores, metrics=("dice",), resamples=9)) == {"a": 1, "b": 1}
    assert places(
        rank(scores, metrics=("dice",), weights={("modality", "PT"): 2.0}, resamples=9)
    ) == {"a": 2, "b": 1}
    assert places(
        rank(scores, metrics=("dice",), weights={("modality", "PT"): 0.0}, resamples=9)
    ) == {"a": 1, "b": 2}


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_is_a_number(weight):
    with pytest.raises(UserError, match="a weight is a number"):
        rank(data(a=(0.9, 0.5)), metrics=("dice",), weights={("target", "liver"): weight})


def test_names_that_stand_for_nothing():
    scores = data(a=(0.9, 0.5))
    for weights, said in (
        ({("organ", "liver"): 1.0}, "kind of weight"),
        ({("target", "livr"): 1.0}, "did you mean liver"),
    ):
        with pytest.raises(UnknownNameError, match=said):
            rank(scores, metrics=("dice",), weights=weights)
    with pytest.raises(UnknownNameError, match="metric"):
        rank(scores, metrics=("dise",))


def test_a_failure_counts_as_worst():
    runs = [facts("a"), facts("b")]
    rows = [
        *paired(runs[0], {"liver": [(0.5, "crashed")] * 6}),
        *paired(runs[1], {"liver": [(0.4, 0.1)] * 6}),
    ]
    ranks = rank(results(runs, rows), metrics=("dice",), resamples=9)
    assert places(ranks) == {"a": 1, "b": 1}


def test_a_task_that_a_model_does_not_support_counts_for_no_model():
    runs = [facts("a"), facts("b")]
    rows = [
        *paired(runs[0], {"liver": [(0.5, "unsupported")] * 6}),
        *paired(runs[1], {"liver": [(0.4, 0.1)] * 6}),
    ]
    ranks = rank(results(runs, rows), metrics=("dice",), resamples=9)
    assert places(ranks) == {"a": 1, "b": 2}
    assert set(ranks.stability["tasks"]) == {1}
    assert set(ranks.ranks["explanation"]) == {
        "tasks that a model does not support are left out for all: a"
    }


def test_a_model_that_supports_nothing_is_not_ranked():
    runs = [facts("a"), facts("b"), facts("c")]
    rows = [
        *paired(runs[0], {"liver": [("unsupported", "unsupported")] * 6}),
        *paired(runs[1], {"liver": [(0.4, 0.1)] * 6}),
        *paired(runs[2], {"liver": [(0.5, 0.2)] * 6}),
    ]
    ranks = rank(results(runs, rows), metrics=("dice",), resamples=9)
    assert places(ranks) == {"b": 2, "c": 1}
    assert set(ranks.stability["tasks"]) == {2}
    assert set(ranks.ranks["explanation"]) == {
        "not ranked, because it supports none of the tasks: a"
    }


def test_nothing_to_rank():
    runs = [facts("a"), facts("b")]
    rows = list(paired(runs[0], {"liver": [("undefined", "undefined")] * 3}))
    made = rank(results(runs, rows), metrics=("dice",), resamples=9)
    assert made.ranks["place"].isna().all()
    assert "no subject" in made.ranks["explanation"].iloc[0]
    zero = rank(
        data(a=(0.9, 0.5)), metrics=("dice",), weights={("metric", "dice"): 0.0}, resamples=9
    )
    assert zero.ranks["place"].isna().all()


def test_one_model_is_first():
    made = rank(data(a=(0.9, 0.5)), metrics=("dice",), resamples=9)
    assert places(made) == {"a": 1}
    assert made.significance.empty
    assert made.stability["tau"].isna().all()


def test_a_failure_is_never_better_than_a_mask():
    """An empty mask's volume error of -1 would beat one of +2; a failure's may not."""
    runs = [facts("a"), facts("b")]
    rows = [
        *paired(runs[0], {"liver": [("crashed", "crashed")] * 6}, metric="rve"),
        *paired(runs[1], {"liver": [(2.0, 3.0)] * 6}, metric="rve"),
    ]
    assert places(rank(results(runs, rows), metrics=("rve",), resamples=9)) == {"a": 2, "b": 1}


def test_a_round_that_is_not_there():
    with pytest.raises(UserError, match="there is no round 99"):
        rank(data(a=(0.9, 0.5)), metrics=("dice",), round_number=99)


def test_one_subject_says_nothing_of_stability():
    runs = [facts("a"), facts("b")]
    rows = [(run, "x", "CT", "liver", "dice", 0.8 - 0.1 * n) for n, run in enumerate(runs)]
    ranks = rank(results(runs, rows), metrics=("dice",), resamples=20)
    assert ranks.ranks["place"].tolist() == [1, 2, 1, 2]
    assert ranks.ranks[["place_low", "place_high", "first"]].isna().all(axis=None)
    assert set(ranks.ranks["explanation"]) == {"one subject cannot show how stable the places are"}
    assert ranks.stability["tau"].isna().all()


def test_scores_that_are_equal_but_for_rounding_share_a_place():
    runs = [facts("a"), facts("b")]
    rows = [(runs[0], f"s{n}", "CT", "liver", "dice", 0.1 * 3) for n in range(8)]
    rows += [(runs[1], f"s{n}", "CT", "liver", "dice", 0.3) for n in range(8)]
    ranks = rank(results(runs, rows), metrics=("dice",), resamples=20)
    assert set(ranks.ranks["place"]) == {1}
    assert set(ranks.ranks["mean_rank"]) == {1.5}


def test_floors_are_no_tests_in_the_family_of_the_others():
    runs = [facts("a"), facts("b"), facts("floor", image_blind=True)]
    rows = []
    for number, run in enumerate(runs):
        rows += [(run, f"s{n}", "CT", "liver", "dice", 0.9 - 0.1 * number) for n in range(8)]
    significance = rank(results(runs, rows), metrics=("dice",), resamples=20).significance
    p = significance.set_index(["model", "other"])["p_holm"]
    assert p["a", "b"] == 2 / 2**8
    assert p["a", "floor"] == 2 * 2 / 2**8
