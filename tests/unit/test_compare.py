"""Comparisons of given scores: against recomputation from the rows, and with bad input."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.output import rows_of, write_csv
from evaluator.analysis.comparison.schema import ALL_TARGETS, FRAMES
from evaluator.analysis.comparison.volume_agreement import subject_volumes
from evaluator.analysis.control_check import judge_control
from evaluator.errors import RunConflictError, UnknownNameError, UserError
from tests.scored import facts, paired, results

ORGANS = ("brain", "liver", "spleen")


def cohort(models=("m",), n=20, effect=0.05, seed=0, organs=ORGANS, protocol="paper", failing=()):
    """Runs with better structural scores; ``failing``: (model, subject, side) that crashed."""
    chance = np.random.default_rng(seed)
    runs, rows = [facts(model, protocol=protocol) for model in models], []
    for m, run in enumerate(runs):
        base = np.clip(
            chance.normal(0.6, 0.1, (n, 1)) + chance.normal(0, 0.05, (n, len(organs))), 0.05, 0.9
        )
        functional = np.clip(base + chance.normal(0, 0.04, base.shape), 0.01, 0.94)
        scores = {}
        for t, organ in enumerate(organs):
            sides = [
                [functional[s, t] + effect, functional[s, t] + chance.normal(0, 0.02)]
                for s in range(n)
            ]
            for model, subject, side in failing:
                if model == m:
                    sides[subject][side] = "crashed"
            scores[organ] = sides
        rows += paired(run, scores)
    return results(runs, rows), rows


def one(frame, **where):
    chosen = np.logical_and.reduce([frame[name] == value for name, value in where.items()])
    assert chosen.sum() == 1, where
    return frame[chosen].iloc[0]


def quick(made, **more):
    return compare(made, metrics=("dice",), resamples=199, **more)


def check_columns(made):
    for name, frame in made.frames().items():
        assert list(frame.columns) == list(FRAMES[name])
    for row in rows_of(made):
        json.dumps(row, allow_nan=False)


def test_modalities_recomputed_from_the_rows():
    data, rows = cohort(n=25, failing=[(0, 3, 0), (0, 7, 1)])
    made = quick(data)
    check_columns(made)
    table = pd.DataFrame(
        [row[1:6] for row in rows], columns=["subject", "modality", "target", "metric", "value"]
    )
    table["number"] = [0.0 if value == "crashed" else value for value in table["value"]]
    for failures, kept in (("counted", table), ("excluded", table[table["value"] != "crashed"])):
        sides = kept.pivot_table(
            index="subject", columns=["target", "modality"], values="number"
        ).dropna()
        p = []
        for organ in ORGANS:
            difference = sides[organ, "CT"] - sides[organ, "PT"]
            row = one(made.modality, model="m", target=organ, failures=failures)
            assert (row["n"], row["n_pairs"]) == (len(sides), len(sides))
            assert (row["failed_structural"], row["failed_functional"]) == (1, 1)
            assert row["difference"] == pytest.approx(difference.mean())
            assert row["mean_structural"] == pytest.approx(sides[organ, "CT"].mean())
            p.append(row["p_sign_flip"])
            wilcoxon = stats.wilcoxon(difference, zero_method="pratt").pvalue
            assert row["p"] == pytest.approx(wilcoxon, abs=1e-9)
            signs = np.random.default_rng(0).choice([-1, 1], (20_000, len(sides)))
            flipped = np.abs(signs @ difference.to_numpy()) >= abs(difference.sum())
            assert p[-1] == pytest.approx(flipped.mean(), abs=0.02)
            assert row["low"] <= row["low_observed"] < row["difference"] < row["high_observed"]
            assert row["low"] <= row["low_90"] <= row["high_90"] <= row["high"]
            # failures that were not seen are allowed for where failures count
            assert (row["low"] < row["low_observed"]) == (failures == "counted")
            # all differences have one sign in 2 of 2**n patterns, and Holm takes 3 times that
            assert row["smallest_p_holm"] == pytest.approx(3 * 2.0 ** (1 - len(sides)))
            assert "3 targets x 1 models, 3 tests" in row["family"]
        smallest = min(p)
        assert made.modality.loc[
            (made.modality["failures"] == failures) & (made.modality["target"] != ALL_TARGETS),
            "p_holm",
        ].min() == pytest.approx(min(1, 3 * smallest))
        overall = one(made.modality, model="m", target=ALL_TARGETS, failures=failures)
        means = sides.T.groupby(level="modality").mean().T
        assert overall["difference"] == pytest.approx((means["CT"] - means["PT"]).mean())
        assert overall["p"] == pytest.approx(stats.wilcoxon(means["CT"] - means["PT"]).pvalue)
        assert overall["p_holm"] == overall["p_sign_flip"]


def test_models_recomputed_from_the_rows():
    data, rows = cohort(models=("a", "b", "c"), n=15)
    made = quick(data)
    values = {
        (run.label, modality, target, subject): value
        for run, subject, modality, target, _, value in rows
    }
    subjects = sorted({row[1] for row in rows})
    difference = [values["a", "PT", "liver", s] - values["c", "PT", "liver", s] for s in subjects]
    row = one(made.models, model="a", other="c", modality="PT", target="liver", failures="counted")
    assert row["difference"] == pytest.approx(np.mean(difference))
    assert row["p"] == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert len(made.models) == 3 * 2 * 4 * 2
    assert "3 targets x 3 pairs of models, 9 tests" in row["family"]


def test_sittings_and_seeds_are_averaged_within_the_subject():
    run = facts("m")
    rows = []
    for session, seed, ct, pt in (
        ("a", 0, 0.9, 0.5), ("a", 1, 0.8, 0.5), ("b", 0, 0.7, 0.6), ("b", 1, 0.4, 0.1),
    ):  # fmt: skip
        columns = {"session": session, "seed": seed}
        rows.append((run, "x", "CT", "liver", "dice", ct, columns))
        rows.append((run, "x", "PT", "liver", "dice", pt, columns))
    rows += list(paired(run, {"liver": [(0.5, 0.4)] * 5}))
    row = one(quick(results([run], rows)).modality, target="liver", failures="counted")
    assert (row["n"], row["n_pairs"]) == (6, 9)
    assert row["difference"] == pytest.approx(np.mean([np.mean([0.4, 0.3, 0.1, 0.3])] + [0.1] * 5))


def test_pairs_are_of_one_sitting():
    run = facts("m")
    rows = [
        (run, "x", "CT", "liver", "dice", 0.9, {"session": "a"}),
        (run, "x", "PT", "liver", "dice", 0.1, {"session": "b"}),
    ]
    frame = quick(results([run], rows)).modality
    assert set(frame["status"]) == {"no pairs"}
    assert set(frame["explanation"]) == {"no case has both CT and PT", "no case has both MR and PT"}


def test_distances_are_better_when_smaller_and_failures_count_as_the_cap():
    run = facts("m")
    rows = paired(
        run, {"liver": [(3.0, 9.0)] * 5 + [(4.0, "crashed"), (4.0, "one-empty")]}, metric="hd95"
    )
    made = compare(results([run], rows), metrics=("hd95",), resamples=199)
    row = one(made.modality, target="liver", failures="counted")
    assert row["mean_functional"] == pytest.approx((5 * 9 + 2 * 500) / 7)
    assert row["difference"] < 0
    assert row["rank_biserial"] == 1
    assert row["wins"] == 1
    without = one(made.modality, target="liver", failures="excluded")
    assert (
        without["n"] == 6
    )  # an empty mask is a mask: the distance has no number, and the cap stands for it
    assert pd.isna(row["margin"])
    assert pd.isna(row["p_equivalence"])


def test_signed_metrics_are_compared_by_magnitude():
    run = facts("m")
    rows = paired(run, {"liver": [(-0.4, 0.1), (0.4, -0.1)] * 3}, metric="rve")
    row = one(
        compare(results([run], rows), metrics=("rve",), resamples=199).modality,
        target="liver",
        failures="counted",
    )
    assert row["difference"] == pytest.approx(0.3)
    assert row["wins"] == 0


def test_equivalence_is_claimed_within_the_margin_only():
    data, _ = cohort(n=40, effect=0.0)
    tight = quick(data, margins={"dice": 0.001}).modality
    wide = quick(data, margins={"dice": 0.1}).modality
    assert set(tight.loc[tight["target"] != ALL_TARGETS, "verdict"]) == {"inconclusive"}
    assert set(wide["verdict"]) == {"equivalent"}
    shifted = quick(cohort(n=40, effect=0.05)[0], margins={"dice": 0.2}).modality
    assert set(shifted["verdict"]) == {"different within margin"}


@pytest.mark.parametrize("margins", [{"dice": 0}, {"dice": -1}, {"dice": float("nan")}])
def test_a_margin_is_above_zero(margins):
    with pytest.raises(UserError, match="above 0"):
        quick(cohort()[0], margins=margins)


def test_names_that_stand_for_nothing():
    data, _ = cohort(n=3)
    with pytest.raises(UnknownNameError, match="did you mean dice"):
        compare(data, metrics=("dise",))
    with pytest.raises(UnknownNameError, match="did you mean nsd"):
        compare(data, margins={"nsdd": 1.0})


# bad input: each gives a status or an explanation, and JSON without NaN


def test_one_subject():
    made = quick(cohort(n=1)[0])
    check_columns(made)
    assert set(made.modality["status"]) == {"one subject"}
    assert made.modality["difference"].notna().all()
    assert made.modality[["low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert set(made.modality["verdict"]) == {"inconclusive"}
    assert set(made.joint["status"]) == {"one subject"}


def test_few_subjects_have_no_interval_and_no_verdict():
    made = quick(cohort(n=4, effect=0.2)[0])
    assert set(made.modality["status"]) == {"few subjects"}
    assert made.modality["low"].isna().all()
    assert made.modality["p"].notna().all()
    assert set(made.modality["verdict"]) == {"inconclusive"}
    assert set(made.modality["verdict_reason"]) == {"too few subjects"}
    assert set(made.joint["status"]) == {"few subjects"}
    assert set(made.joint["explanation"]) == set(made.modality["explanation"])


def test_all_failed():
    run = facts("m")
    made = quick(
        results([run], paired(run, {organ: [("crashed", "timeout")] * 8 for organ in ORGANS}))
    )
    check_columns(made)
    assert set(made.modality["status"]) == {"all failed"}
    assert made.modality[["difference", "p", "p_equivalence"]].isna().all(axis=None)
    assert set(made.modality["verdict"]) == {"inconclusive"}
    assert (made.modality["mean_structural"].dropna() == 0).all()
    assert set(made.means["status"]) == {"all failed"}
    assert set(made.joint["status"]) == {"all failed"}
    counted = made.means[made.means["failures"] == "counted"]
    assert (counted["mean"] == 0).all()


def test_one_side_failed_is_a_difference_with_failures_and_nothing_without():
    run = facts("m")
    rows = paired(run, {"liver": [(0.8 + 0.01 * n, "crashed") for n in range(8)]})
    made = quick(results([run], rows)).modality
    assert one(made, target="liver", failures="counted")["verdict"] == "different"
    without = one(made, target="liver", failures="excluded")
    assert (without["status"], without["n"]) == ("all failed", 0)


def test_one_modality_missing():
    run = facts("m")
    rows = []
    for n, organ in product(range(6), ORGANS):
        rows.append((run, f"s{n}", "CT", organ, "dice", 0.5 + 0.01 * n))
    made = quick(results([run], rows))
    check_columns(made)
    assert set(made.modality["status"]) == {"no pairs"}
    assert set(made.means["modality"]) == {"CT"}
    assert made.joint.empty


def test_a_modality_that_the_model_does_not_take_is_no_difference():
    run = facts("m")
    made = quick(results([run], paired(run, {"liver": [(0.8, "unsupported")] * 8})))
    check_columns(made)
    rows = made.modality
    assert set(rows["status"]) == {"unsupported"}
    assert set(rows["explanation"]) == {"not supported by the model: PT"}
    assert rows["difference"].isna().all()
    assert set(rows["verdict"]) == {"inconclusive"}


def test_what_could_not_be_asked_is_excluded_and_counted():
    run = facts("m")
    rows = paired(
        run,
        {
            "liver": [(0.8, 0.7)] * 6
            + [("undefined", 0.7), (0.8, "not-run"), ("undefined", "undefined")]
        },
    )
    row = one(quick(results([run], rows)).modality, target="liver", failures="counted")
    assert (row["n"], row["excluded"]) == (6, 3)
    nothing = paired(run, {"liver": [("undefined", "not-run")] * 6})
    assert set(quick(results([run], nothing)).modality["status"]) == {"excluded"}


def test_ties_everywhere():
    run = facts("m")
    made = quick(results([run], paired(run, {organ: [(0.7, 0.7)] * 12 for organ in ORGANS})))
    check_columns(made)
    row = one(made.modality, target="liver", failures="counted")
    columns = ["p", "p_sign_flip", "rank_biserial", "wins", "low_observed", "high_observed"]
    assert row[columns].tolist() == [1, 1, 0, 0.5, 0, 0]
    assert row["explanation"].startswith("the differences of all subjects are equal")
    # 12 equal subjects do not exclude that a model fails now and then
    assert (row["verdict"], row["verdict_reason"]) == ("inconclusive", "too few subjects")
    assert "equivalent if failures are as rare as among these 12 subjects" in row["explanation"]
    without = one(made.modality, target="liver", failures="excluded")
    assert without["verdict"] == "equivalent"
    assert without["p_equivalence"] == 2.0**-11
    assert set(made.joint["reason"]) == {"all differences are equal"}


def test_two_sides_that_do_not_work_do_not_agree():
    run = facts("m")
    made = quick(results([run], paired(run, {"liver": [(0.001 * n, 0.0) for n in range(10)]})))
    row = one(made.modality, target="liver", failures="counted")
    assert row["verdict"] == "inconclusive"
    assert "neither arm works" in row["explanation"]


def test_fifty_models():
    data, _ = cohort(models=[f"m{n:02d}" for n in range(50)], n=6, organs=("liver",))
    made = quick(data)
    check_columns(made)
    assert len(made.models) == 50 * 49 / 2 * 2 * 2 * 2
    assert "1225 tests" in made.models["family"].iloc[0]
    assert made.models["p_holm"].notna().all()


@pytest.mark.parametrize(
    "organ",
    ["<b>liver</b>", 'Leber, links; "x"', "肝臓", "a/../b", "=cmd()", "all the targets", "x" * 200],
)
def test_odd_names(organ, tmp_path):
    run = facts("m")
    made = quick(results([run], paired(run, {organ: [(0.8, 0.7)] * 6})))
    assert organ in set(made.modality["target"])
    files = write_csv(made, tmp_path / "csv")
    again = pd.read_csv(tmp_path / "csv" / "modality.csv")
    written = f"'{organ}" if organ.startswith("=") else organ  # no formula for a spreadsheet
    assert written in set(again["target"])
    assert len(files) == len(FRAMES) + 1


def test_no_scores_at_all():
    made = quick(results([facts("m")], []))
    check_columns(made)
    assert set(made.modality["status"]) == {"no pairs"}


def test_groups_are_never_mixed_and_versions_are_refused():
    runs = [facts("m"), facts("m", dataset="other"), facts("m", protocol="point-1")]
    rows = []
    for run in runs:
        rows += paired(run, {"liver": [(0.8, 0.7)] * 6})
    made = quick(results(runs, rows))
    assert len(made.modality.groupby(["dataset", "protocol"])) == 3
    assert set(made.modality["n"]) == {6}
    mixed = [facts("a"), facts("b", dataset_sha256="e" * 64)]
    with pytest.raises(
        RunConflictError,
        match=r"a\.data\.paper and b\.data\.paper are of two versions of dataset data",
    ):
        quick(results(mixed, []))
    with pytest.raises(RunConflictError, match="two versions of protocol paper"):
        quick(results([facts("a"), facts("b", protocol_sha256="1" * 64)], []))
    with pytest.raises(RunConflictError, match="another content"):
        quick(results([facts("a", protocol_sha256="1" * 64)], []))


def test_gaps_hold_the_measured_against_the_published():
    run = facts("sam-med3d")
    scores = [(0.5 + 0.01 * n, 0.4) for n in range(8)]
    made = quick(
        results(
            [run],
            paired(run, dict.fromkeys(ORGANS, scores)),
        )
    )
    row = one(made.gaps, gap="generalization gap", modality="CT")
    assert row["literature"] == 0.790
    assert row["value"] == pytest.approx(0.790 - row["measured"])
    assert row["low"] < row["value"] < row["high"]
    assert row["certainty"] == "second-hand"
    discrepancy = one(made.gaps, gap="modality discrepancy")
    assert discrepancy["value"] == pytest.approx(0.135)
    paper = one(made.published, kind="paper", modality="CT")
    assert (paper["value"], paper["modality_pair"]) == (0.404, "CT-PT")
    assert quick(cohort()[0]).published.empty


@pytest.mark.parametrize(
    ("control", "structural", "functional", "verdict"),
    [
        (0.05, 0.05, 0.02, "collapse everywhere"),
        (0.80, 0.70, 0.60, "works"),
        (0.80, 0.70, 0.05, "collapse on this modality only"),
        (0.80, 0.05, 0.60, "collapse on this modality only"),
        (0.80, 0.05, 0.05, "collapse on this dataset"),
        (0.35, 0.05, 0.05, "inconclusive"),
        (None, 0.05, 0.05, "inconclusive"),
    ],
)
def test_sanity(control, structural, functional, verdict):
    runs = [facts("m"), facts("m", dataset="control")]
    rows = list(paired(runs[0], {"liver": [(structural, functional)] * 6}))
    if control is not None:
        rows += [(runs[1], f"c{n}", "CT", "liver", "dice", control) for n in range(6)]
    row = one(
        judge_control(quick(results(runs, rows)).means, "control"), model="m", target_dataset="data"
    )
    assert row["verdict"] == verdict
    assert row["explanation"]
    random = judge_control(quick(results(runs, rows)).means, "control", random_weights=("m",))
    assert set(random["verdict"]) == {"inconclusive"}


def test_what_a_model_does_not_take_says_nothing_of_the_pipeline():
    runs = [facts("m"), facts("m", dataset="control")]
    rows = []
    for run in runs:
        rows += paired(run, {"liver": [("unsupported", "unsupported")] * 6})
    row = one(
        judge_control(quick(results(runs, rows)).means, "control"), model="m", target_dataset="data"
    )
    assert row["verdict"] == "inconclusive"
    assert pd.isna(row["control_mean"])


def test_volumes_are_those_of_the_masks_and_references():
    run = facts("m")
    chance = np.random.default_rng(0)
    reference, predicted = chance.uniform(500, 900, 9).round(), chance.uniform(500, 900, 9).round()
    predicted[8] = 0  # the reference's volume is not in such a score
    rows = [
        (run, f"s{n}", "CT", "liver", "rve", p / r - 1)
        for n, (p, r) in enumerate(zip(predicted, reference, strict=True))
    ]
    rows += [
        (run, "s9", "CT", "liver", "rve", "crashed"),
        (run, "x", "CT", "liver", "rve", "undefined"),
    ]
    data = results([run], rows)
    order = (
        data.predictions["subject"]
        .astype(str)
        .map(lambda name: int(name[1:]) if name != "x" else 10)
    )
    data.predictions["voxels"] = pd.array(
        [(*predicted, pd.NA, pd.NA)[n] for n in order], dtype="Int64"
    )
    data.predictions["voxel_ml"] = pd.array([0.5] * 11, dtype="Float64")
    row = one(
        compare(data, metrics=("rve",), resamples=99).volumes,
        modality_pair="all",
        modality="CT",
        target="liver",
    )
    assert (row["n"], row["excluded"]) == (8, 2)
    difference = (predicted - reference)[:8] / 2
    assert row["bias"] == pytest.approx(difference.mean())
    assert row["limit_high"] == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))
    assert row["reference_ml"] == pytest.approx(reference[:8].mean() / 2)
    own = subject_volumes(data.groups()[0], data.scores)
    assert own["predicted"].tolist() == pytest.approx(list(predicted[:8] / 2))
    assert own["reference"].tolist() == pytest.approx(list(reference[:8] / 2))


def test_a_target_that_ended_early_counts_in_later_rounds():
    """Four of eight are right after round 1 and stop: they stay in the mean of round 2."""
    run = facts("m", protocol="clicks-10")
    rows = []
    for subject in range(8):
        scores = (0.2, 1.0) if subject < 4 else (0.2, 0.25, 0.3)
        for modality in ("CT", "PT"):
            for number, score in enumerate(scores):
                rows.append(
                    (run, f"s{subject}", modality, "liver", "dice", score, {"round": number})
                )
    for number in (2, None):
        row = one(
            quick(results([run], rows), round_number=number).modality,
            target="liver",
            failures="counted",
        )
        assert (row["n"], row["mean_structural"]) == (8, pytest.approx(0.65))
    with pytest.raises(UserError, match="there is no round 99"):
        quick(results([run], rows), round_number=99)


def test_no_gap_to_the_literature_where_a_model_takes_no_such_image():
    run = facts("sat-pro")
    made = quick(results([run], paired(run, {"liver": [(0.5, "unsupported")] * 8})))
    gaps = made.gaps[made.gaps["gap"] == "generalization gap"].set_index("modality")
    assert gaps.loc["CT", "measured"] == 0.5
    assert gaps.loc["PT", ["measured", "value", "low", "high"]].isna().all()
    assert gaps.loc["PT", "status"] == "unsupported"


def test_a_margin_is_a_finite_number():
    with pytest.raises(UserError, match="a number above 0"):
        quick(cohort()[0], margins={"dice": float("inf")})


def test_the_joint_interval_is_of_the_confidence_that_is_asked_for():
    data, _ = cohort()
    wide, narrow = (
        one(quick(data, confidence=level).joint, failures="counted") for level in (0.95, 0.5)
    )
    assert narrow["high"] - narrow["low"] < 0.5 * (wide["high"] - wide["low"])
