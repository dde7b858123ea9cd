"""Families of tests, what few subjects can show, and why a comparison is inconclusive."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.families import Family, parse_primary
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.errors import UnknownNameError
from tests.scored import facts, paired, results

ORGANS = ("brain", "liver")


def cohort(n, models=("alpha", "beta"), effect=0.05, noise=0.01, seed=0, **changes):
    """Runs whose CT scores are better by the effect on average; ``changes`` of facts by model."""
    rng = np.random.default_rng(seed)
    runs = [facts(model, **changes.get(model, {})) for model in models]
    rows = []
    for run in runs:
        scores = {}
        for organ in ORGANS:
            pet = rng.uniform(0.5, 0.8, n)
            chance = rng.normal(0, noise, n)
            ct = pet + effect + chance - chance.mean()
            scores[organ] = list(zip(ct, pet, strict=True))
        rows += paired(run, scores)
    return results(runs, rows)


def rows_of(data, **options):
    frame = compare(data, metrics=("dice",), resamples=99, **options).modality
    return frame[frame["failures"] == "counted"].set_index(["model", "target"]).sort_index()


def test_too_few_subjects_for_so_many_tests_are_named():
    """The case of a newcomer: a difference in all of 6 subjects, and nothing could be shown."""
    rows = rows_of(cohort(6, models=("a", "b", "c")), margins={"dice": 0.05})
    row = rows.loc["a", "liver"]
    assert row["p_sign_flip"] == 2 / 2**6
    assert row["smallest_p_holm"] == 6 * 2 / 2**6
    assert row["subjects_for_tests"] == 8
    assert (row["verdict"], row["verdict_reason"]) == ("inconclusive", "too few subjects")
    assert row["explanation"].startswith(
        "6 subjects, 6 tests: the smallest adjusted p is 0.19; 8 subjects could reach 0.05"
    )
    overall = rows.loc["a", ALL_TARGETS]
    assert "6 subjects, 3 tests: the smallest adjusted p is 0.09" in overall["explanation"]


def test_the_same_scores_alone_reach_significance():
    rows = rows_of(cohort(6, models=("a",)))
    row = rows.loc["a", ALL_TARGETS]
    assert (row["p_holm"], row["verdict"]) == (2 / 2**6, "different")
    # 6 subjects without a failure exclude little, and that is never silent
    assert row["low"] < 0 < row["low_observed"]
    assert row["verdict_reason"] == "interval holds 0"
    assert "different if failures are as rare as among these 6 subjects" in row["explanation"]


@pytest.mark.parametrize("seed", range(8))
def test_no_p_below_5_per_cent_stands_silently_beside_an_interval_that_holds_0(seed):
    rng = np.random.default_rng(seed)
    run = facts("m")
    scores = []
    for _ in range(int(rng.integers(5, 40))):
        level = rng.uniform(0.5, 0.9)
        failed = rng.random(2) < (0.0, 0.1)
        ct, pet = (level + rng.normal(0.0, 0.05), level + rng.exponential(0.05) - 0.05)
        scores.append(tuple("crashed" if f else v for f, v in zip(failed, (ct, pet), strict=True)))
    comparison = compare(results([run], paired(run, {"liver": scores})), metrics=("dice",))
    for frame in (comparison.modality, comparison.joint):
        tests = [name for name in ("p", "p_sign_flip", "p_holm") if name in frame]
        small = (frame[tests] <= 0.05).any(axis=1)
        holds_zero = (frame["low"] <= 0) & (frame["high"] >= 0)
        assert (frame.loc[small & holds_zero, "explanation"].str.len() > 20).all()


def test_inconclusive_says_which():
    noisy = rows_of(cohort(12, effect=0.0, noise=0.2, models=("a",))).loc["a", "liver"]
    assert (noisy["verdict"], noisy["verdict_reason"]) == ("inconclusive", "too noisy")
    assert noisy["subjects_needed"] > 100
    assert noisy["subjects_needed_low"] < noisy["subjects_needed"] < noisy["subjects_needed_high"]
    assert "would find a difference of 0.05" in noisy["explanation"]
    between = rows_of(cohort(60, effect=0.03, noise=0.14, models=("a",)))
    row = between.loc["a", "liver"]
    assert (row["verdict"], row["verdict_reason"]) == ("inconclusive", "between margin and zero")
    unmargined = compare(
        cohort(12, effect=0.0, models=("a",)), metrics=("hd95",), resamples=99
    ).modality
    assert unmargined["subjects_needed"].isna().all()


def test_a_primary_comparison_is_a_family_of_its_own():
    data = cohort(8, models=("a", "b", "c"))
    rows = rows_of(data, families=(parse_primary("b:liver"),))
    primary = rows.loc["b", "liver"]
    assert primary["p_holm"] == primary["p_sign_flip"]
    assert primary["family"].endswith("1 target x 1 models, 1 tests; primary b:liver")
    other = rows.loc["a", "liver"]
    assert other["family"].endswith("2 targets x 3 models, 5 tests; remaining")
    assert other["p_holm"] == pytest.approx(5 * other["p_sign_flip"])
    of_model = rows_of(data, families=(parse_primary("b"),))
    assert "2 targets x 1 models, 2 tests; primary b" in of_model.loc["b", "brain"]["family"]
    assert "all targets x 1 models, 1 tests" in of_model.loc["b", ALL_TARGETS]["family"]


def test_pairs_of_models_are_primary_with_the_primary_model():
    data = cohort(8, models=("a", "b", "c"))
    frame = compare(data, metrics=("dice",), resamples=99, families=(parse_primary("b"),)).models
    frame = frame[(frame["target"] == ALL_TARGETS) & (frame["failures"] == "counted")]
    primary = frame["family"].str.contains("primary b")
    has_model = (frame["model"] == "b") | (frame["other"] == "b")
    assert (primary == has_model).all()
    both = Family(name="main", models=("a", "b"))
    assert both.has(("a", "b"), "liver")
    assert not both.has(("a", "c"), "liver")


@pytest.mark.parametrize(
    ("text", "message"), [("alfa", "did you mean alpha"), ("alpha:livr", "did you mean liver")]
)
def test_a_primary_name_that_no_run_has(text, message):
    with pytest.raises(UnknownNameError, match=message):
        rows_of(cohort(5), families=(parse_primary(text),))


def test_floors_random_weights_and_unsupported_models_are_not_in_the_family():
    models = ("a", "blind", "random")
    changes = {"blind": {"image_blind": True}, "random": {"random_weights": True}}
    data = cohort(8, models=models, **changes)
    refusing = facts("refusing")
    refused = paired(refusing, {organ: [(0.7, "unsupported")] * 8 for organ in ORGANS})
    data = results([*data.runs, refusing], [*_rows(data), *refused])
    rows = rows_of(data)
    assert rows.loc["a", "liver"]["p_holm"] == pytest.approx(
        2 * min(rows.loc["a", organ]["p_sign_flip"] for organ in ORGANS), rel=1
    )
    assert "2 tests" in rows.loc["a", "liver"]["family"]
    for model, reason in (("blind", "image-blind"), ("random", "random weights")):
        family = rows.loc[model, "liver"]["family"]
        assert family.endswith(f"not in a family with others: {reason}")
    assert pd.isna(rows.loc["refusing", "liver"]["p_holm"])


def _rows(data):
    """The rows that ``results`` was given."""
    by_name = {run.name: run for run in data.runs}
    columns = ["run", "subject", "modality", "target", "metric", "value"]
    for run, *row in data.scores[columns].itertuples(index=False, name=None):
        yield (by_name[run], *row)


def test_ties_that_rounding_hides():
    """12 subjects whose volume errors all differ by 0.1, 8 in one direction (scipy 26082)."""
    run = facts("m")
    levels = [0.1, 0.2, 0.3, 0.7, 0.4, 0.6] * 2
    signs = [1, 1, -1] * 4
    scores = [(level + 0.1 * sign, level) for level, sign in zip(levels, signs, strict=True)]
    magnitudes = {abs(a - b) for a, b in scores}
    assert len(magnitudes) > 1
    comparison = compare(
        results([run], paired(run, {"liver": scores}, metric="rve")), metrics=("rve",)
    )
    frame = comparison.modality
    row = frame[(frame["target"] == "liver") & (frame["failures"] == "counted")].iloc[0]
    assert row["p"] == pytest.approx(0.3876953125, abs=1e-12)
    assert abs(row["rank_biserial"]) == pytest.approx(1 / 3)
    assert row["verdict"] == "inconclusive"
    # the joint fallback, which is used for one target, has the same p as the paired row
    joint = comparison.joint[comparison.joint["failures"] == "counted"].iloc[0]
    assert joint["method"] == "ranks"
    assert joint["p"] == pytest.approx(row["p_sign_flip"], abs=1e-12)


def test_one_sided_failures_are_allowed_for():
    """30 subjects without a failure on CT: the interval reaches a failure rate of 11 % on it."""
    run = facts("m")
    rng = np.random.default_rng(0)
    scores = [(0.8 + rng.normal(0, 0.01), 0.8 + rng.normal(0, 0.01)) for _ in range(30)]
    comparison = compare(results([run], paired(run, {"liver": scores})), metrics=("dice",))
    frame = comparison.modality[comparison.modality["target"] == "liver"]
    included = frame[frame["failures"] == "counted"].iloc[0]
    excluded = frame[frame["failures"] == "excluded"].iloc[0]
    assert included["high"] - included["difference"] == pytest.approx(0.8 * 0.1135, abs=0.003)
    assert excluded["high"] == included["high_observed"]
    assert excluded["p_equivalence"] < included["p_equivalence"]
    means = comparison.means[(comparison.means["failures"] == "counted")]
    mean = means[(means["target"] == "liver") & (means["modality"] == "CT")].iloc[0]
    assert mean["low"] == pytest.approx(0.8 - 0.8 * 0.1135, abs=0.005)
    assert mean["high"] < 0.81
    joint = comparison.joint.set_index("failures")
    assert joint.loc["counted", "high"] > 10 * joint.loc["excluded", "high"]
