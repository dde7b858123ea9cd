"""The grid's part taken out: an image-blind model is not worse on PET, a worse one is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage, stats

import evaluator
from evaluator.analysis.comparison.blind_answers import allowed_by_all, beats_floor
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.conclusions import KINDS, conclude
from evaluator.analysis.comparison.grid_schema import GRID
from evaluator.cli.compare import compare as compare_command
from evaluator.imaging.geometry import affine_of, make_grid, to_world
from evaluator.volumes import write_volume
from tests.conftest import order
from tests.scored import facts, results
from tests.tiny import ROOT

#: grids as in sarcoma PET/CT: 1 x 1 x 3.3 mm, and 5.5 x 5.5 x 3.3 mm that starts elsewhere
CT = make_grid((84, 84, 26), [[-1, 0, 0, 42], [0, -1, 0, 42], [0, 0, 3.27, -40], [0, 0, 0, 1]])
PT = make_grid(
    (16, 16, 26), [[-5.47, 0, 0, 41], [0, -5.47, 0, 43], [0, 0, 3.27, -40], [0, 0, 0, 1]]
)


def lump(grid, rng_seed):
    """A lumpy tumour of about 4 cm, the same in the world on every grid."""
    rng = np.random.default_rng(rng_seed)
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    places = places - rng.uniform(-4, 4, 3)
    half = rng.uniform((14, 14, 20), (24, 24, 30))
    directions = rng.normal(size=(6, 3)) / half
    waves = np.cos(places @ directions.T + rng.uniform(0, 6, 6)).mean(axis=1)
    radius = np.linalg.norm(places / half, axis=1)
    return (radius * (1 + 0.35 * waves) <= 1).reshape(grid.shape).astype(np.uint8)


@pytest.fixture(scope="module")
def sarcomas(tmp_path_factory):
    """Seven synthetic subjects with tumours on CT's and PET's grids; PET is blurred by 6 mm."""
    folder = tmp_path_factory.mktemp("sarcomas")
    rows = ["subject\tsession\tmodality\timage\treference\tunit\tlabels"]
    for number in range(7):
        for modality, grid, unit in (("CT", CT, "HU"), ("PT", PT, "SUVbw")):
            mask = lump(grid, number)
            image = mask * 4.0
            if modality == "PT":
                sigma = 6 / 2.355 / np.linalg.norm(affine_of(grid)[:3, :3], axis=0)
                image = ndimage.gaussian_filter(image, sigma)
            names = [f"{number}_{modality}_{kind}.nii.gz" for kind in ("image", "reference")]
            write_volume(folder / names[0], image.astype(np.float32), grid)
            write_volume(folder / names[1], mask, grid)
            rows.append("\t".join([f"s{number}", "a", modality, *names, unit, "lesion=1"]))
    (folder / "sarcomas.tsv").write_text("\n".join(rows) + "\n")
    words = dict.fromkeys(("license", "citation"), "none")
    words |= {"name": "sarcomas", "title": "Lumps", "reference_origin": "generated"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in words.items()]
    (folder / "sarcomas.toml").write_text("\n".join([*lines, "synthetic = true", ""]))
    return folder / "sarcomas.toml"


def overall(comparison, metric="dice"):
    rows = comparison.modality
    rows = rows[(rows["metric"] == metric) & (rows["failures"] == "counted")]
    return rows[(rows["target"] == "all targets") & (rows["modality_pair"] == "CT-PT")].iloc[0]


def test_an_image_blind_model_shows_no_difference_beyond_the_grid(sarcomas, project):
    """It takes the box of whole voxels, as most models do."""
    adapter = (ROOT / "models/ellipsoid/adapter.py").read_text()
    project({"blind": adapter}, prompts="box", box="voxels")
    run = order("blind", sarcomas, "box", engine="local")
    row = overall(compare(evaluator.load(run.path), resamples=999))
    assert row["verdict"] == "different"
    assert row["difference"] > 0.03
    assert row["controlled_difference"] == pytest.approx(0, abs=1e-9)
    assert row["conclusion"] == "no difference beyond the grid"
    assert "by the raw scores worse on PET" in row["grid_remark"]
    printed = CliRunner().invoke(compare_command, [str(run.path)], catch_exceptions=False).output
    words = " ".join(printed.split())
    assert "no difference beyond the grid (by the raw scores worse on PET" in words


def test_with_the_exact_box_there_is_little_to_take_out(sarcomas):
    run = order("ellipsoid", sarcomas, "box", engine="local")
    row = overall(compare(evaluator.load(run.path), resamples=999))
    assert abs(row["difference"]) < 0.02
    assert row["conclusion"] == "no difference beyond the grid"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("model", ["ellipsoid", "blind"])
def test_an_image_blind_model_on_real_scans(shared_data, project, model, monkeypatch):
    monkeypatch.setenv("UMD_SHARED_DATA", str(shared_data))
    if model == "blind":
        adapter = (ROOT / "models/ellipsoid/adapter.py").read_text()
        project({"blind": adapter}, prompts="box", box="voxels")
    run = order(model, "ibsi-sts", "box", engine="local")
    row = overall(compare(evaluator.load(run.path), resamples=999))
    assert row["n"] == 7
    assert (row["difference"] > 0.1) == (model == "blind")
    assert row["conclusion"] == "no difference beyond the grid"


def scored(values, protocol="box", model="m", boxes=()):
    """Results of (structural, functional) x (score, floor, ceiling) of each subject, as Dice.

    With ``boxes`` the floor is that of the ellipsoid, and these are the scores of the box.
    """
    run = facts(model, protocol=protocol, prompt_kind="box")
    rows = []
    for number, pair in enumerate(values):
        for modality, (score, floor, ceiling) in zip(("CT", "PT"), pair, strict=True):
            limits = {"floor": floor, "ceiling": ceiling}
            if len(boxes):
                limits["blind_round"] = floor
                limits["blind_shape"] = boxes[number][modality == "PT"]
            rows.append((run, f"s{number:02d}", modality, "lesion", "dice", score, limits))
    return results([run], rows)


def cohort(n, skill, *, loss=0.0, seed=0, floors=(0.75, 0.65), ceilings=(1.0, 0.97), spread=0.04):
    """Subjects of a model whose score lies at a share of the way from floor to ceiling."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n):
        shift, noise = rng.normal(0, 0.03), rng.normal(0, 0.02, 2)
        apart = (0.0, rng.normal(0, spread))
        limits = [(f + shift + a, c) for f, c, a in zip(floors, ceilings, apart, strict=True)]
        scores = [f + skill * (c - f) for f, c in limits] + noise
        scores[1] -= loss
        values.append([(s, f, c) for s, (f, c) in zip(scores, limits, strict=True)])
    return values


def test_the_controlled_difference_by_hand():
    """The intercept of scipy's regression, with the prior as one more subject on the line."""
    values = cohort(12, 0.5, loss=0.04, spread=0.05)
    row = overall(compare(scored(values), metrics=["dice"], resamples=999))
    table = np.array(values)
    difference, floors = table[:, 0, :2].T - table[:, 1, :2].T
    x, d = floors - floors.mean(), difference - difference.mean()
    weight = len(x) * (0.02 * floors.mean()) ** 2
    slope = (x @ d + weight) / (x @ x + weight)
    lesion = compare(scored(values), metrics=["dice"], resamples=99).modality
    lesion = lesion[(lesion["target"] == "lesion") & (lesion["failures"] == "counted")].iloc[0]
    assert lesion["grid_dependence"] == pytest.approx(slope, abs=1e-12)
    expected = difference.mean() - slope * floors.mean()
    # the mean of the pseudo-values is the intercept, less the jackknife's estimate of its bias
    assert row["controlled_difference"] == pytest.approx(expected, abs=0.01)
    assert row["controlled_low"] < expected < row["controlled_high"]
    assert row["floor_structural"] == pytest.approx(table[:, 0, 1].mean())
    assert row["ceiling_functional"] == pytest.approx(table[:, 1, 2].mean())
    assert row["controlled_n"] == 12


@pytest.mark.parametrize("skill", [0.0, 0.4, 0.8])
def test_equal_skill_is_no_difference_whatever_the_model_depends_on(skill):
    row = overall(compare(scored(cohort(40, skill)), metrics=["dice"], resamples=999))
    assert abs(row["controlled_difference"]) < 0.03
    assert row["conclusion"] not in ("worse on PET", "better on PET")


def test_a_score_counts_up_to_the_ceiling_of_the_other_image():
    """Perfect masks on both images: PET's grid cannot hold what CT's can."""
    values = [[(1.0, 0.7 + 0.01 * n, 1.0), (0.95, 0.6, 0.95)] for n in range(12)]
    row = overall(compare(scored(values), metrics=["dice"], resamples=999))
    assert row["difference"] == pytest.approx(0.05)
    assert row["controlled_difference"] == pytest.approx(0, abs=0.003)
    assert row["conclusion"] in (
        "no difference beyond the grid",
        "no difference shown beyond the grid",
    )


@pytest.mark.parametrize("depends", [0.0, 0.5, 1.0])
def test_a_loss_on_pet_is_found_however_the_model_depends_on_the_box(depends):
    rng = np.random.default_rng(3)
    values = []
    for _ in range(100):
        shift, noise = rng.normal(0.1, 0.05), rng.normal(0, 0.02, 2)
        scores = np.array([0.85, 0.85 - depends * shift - 0.1]) + noise
        values.append([(scores[0], 0.75, 1.0), (scores[1], 0.75 - shift, 0.98)])
    row = overall(compare(scored(values), metrics=["dice"], resamples=999))
    assert row["conclusion"] == "worse on PET"
    assert row["controlled_difference"] == pytest.approx(0.1, abs=0.03)


def against_the_box(n, scores_of, seed=4):
    """Subjects of a model, with the ellipsoid as the floor and the box as the other answer.

    The box loses about 0.11 from CT to PET, the ellipsoid 0.08. ``scores_of`` gets both answers
    as (CT, PET) and returns the model's scores.
    """
    rng = np.random.default_rng(seed)
    values, boxes = [], []
    for _ in range(n):
        level, step = rng.normal(0, 0.03), rng.normal(0.08, 0.03)
        ellipsoid = np.array([0.78 + level, 0.78 + level - step])
        box = np.array([0.58 + level, 0.58 + level - 0.11 - 0.3 * (step - 0.08)])
        box = box + rng.normal(0, 0.01, 2)
        scores = scores_of(ellipsoid, box) + rng.normal(0, 0.01, 2)
        values.append([(s, f, c) for s, f, c in zip(scores, ellipsoid, (1.0, 0.97), strict=True)])
        boxes.append(tuple(box))
    return values, boxes


def test_an_image_blind_answer_that_is_not_the_floor_is_not_worse():
    values, boxes = against_the_box(60, lambda _, box: box)
    alone = overall(compare(scored(values), metrics=["dice"], resamples=999))
    assert alone["conclusion"] == "worse on PET"
    assert alone["grid_answer"] == "floor"
    row = overall(compare(scored(values, boxes=boxes), metrics=["dice"], resamples=999))
    assert row["conclusion"] in (
        "no difference beyond the grid",
        "no difference shown beyond the grid",
    )
    assert row["grid_answer"] == "box or mean shape"
    assert abs(row["controlled_difference"]) < 0.02
    assert row["controlled_low"] <= alone["controlled_low"]
    assert row["controlled_high"] >= alone["controlled_high"] - 1e-12


@pytest.mark.parametrize("follows", [0.0, 0.5])
def test_a_loss_on_pet_is_found_against_every_answer(follows):
    def scores_of(ellipsoid, box):
        return 0.85 - follows * (ellipsoid[0] - ellipsoid) - [0, 0.1]

    values, boxes = against_the_box(60, scores_of)
    row = overall(compare(scored(values, boxes=boxes), metrics=["dice"], resamples=999))
    assert row["conclusion"] == "worse on PET"


def test_estimates_are_combined_by_the_weakest():
    """Rows: one sign; two signs; no subject."""
    nan = np.nan
    first, second = (
        {name: np.array(values, dtype=float) for name, values in columns.items()}
        for columns in (
            {
                "n": [9, 9, 0], "difference": [0.1, 0.05, nan], "low": [0.02, -0.01, nan],
                "high": [0.2, 0.1, nan], "p_sign_flip": [0.01, 0.02, nan],
                "p_equivalence": [0.9, 0.01, nan],
            },
            {
                "n": [9, 9, 0], "difference": [0.06, -0.01, nan], "low": [0.01, -0.1, nan],
                "high": [0.1, 0.01, nan], "p_sign_flip": [0.03, 0.04, nan],
                "p_equivalence": [0.8, 0.02, nan],
            },
        )
    )  # fmt: skip
    combined, chosen = allowed_by_all([first, second], np.zeros(3, bool))
    assert list(chosen[:2]) == [1, 1]
    assert combined["difference"] == pytest.approx([0.06, -0.01, nan], nan_ok=True)
    assert combined["low"] == pytest.approx([0.01, -0.1, nan], nan_ok=True)
    assert combined["high"] == pytest.approx([0.2, 0.1, nan], nan_ok=True)
    assert combined["p_sign_flip"] == pytest.approx([0.03, 1, nan], nan_ok=True)
    assert combined["p_equivalence"] == pytest.approx([0.9, 0.02, nan], nan_ok=True)
    combined, chosen = allowed_by_all([first, second], np.ones(3, bool))
    assert not chosen.any()
    for name in ("difference", "low", "p_sign_flip", "p_equivalence"):
        assert combined[name] == pytest.approx(first[name], nan_ok=True)


@pytest.mark.parametrize("higher", [True, False])
def test_better_than_the_floor_is_a_t_test_on_both_images(higher):
    rng = np.random.default_rng(5)
    floors = rng.normal(0.6, 0.1, (2, 40, 12))
    scores = floors + (1 if higher else -1) * rng.normal(0.02, 0.04, (2, 40, 12))
    scores[0, 0, :11] = np.nan
    got = beats_floor(list(scores), list(floors), higher_is_better=higher)
    side = "greater" if higher else "less"
    with np.errstate(invalid="ignore"):
        p = stats.ttest_rel(scores, floors, axis=2, alternative=side).pvalue
    assert np.array_equal(got[1:], (p[:, 1:] < 0.05).all(axis=0))
    assert 0.1 < got.mean() < 0.9
    assert not got[0]


def test_without_limits_the_raw_verdict_stands_and_says_so():
    values = [[(0.9 + 0.001 * n, None, None), (0.7, None, None)] for n in range(12)]
    row = overall(compare(scored(values), metrics=["dice"], resamples=999))
    assert row["verdict"] == "different"
    assert row["conclusion"] == "worse on PET"
    assert row["grid_remark"] == (
        "not controlled for the grid: no pair has a score, a floor and a ceiling"
    )
    assert str(row["controlled_difference"]) == "<NA>"


def test_every_column_of_the_grid_is_described():
    comparison = compare(scored(cohort(6, 0.5)), metrics=["dice"], resamples=99)
    assert set(GRID) <= set(comparison.modality.columns)
    assert set(comparison.modality["conclusion"].dropna()) <= set(KINDS)


@pytest.mark.parametrize(
    ("raw", "controlled", "expected"),
    [
        ((0.1, "different"), (0.0, "equivalent"), "no difference beyond the grid"),
        ((0.1, "different"), (-0.03, "different within margin"), "no difference beyond the grid"),
        ((0.1, "different"), (0.02, "inconclusive"), "no difference shown beyond the grid"),
        ((0.1, "different"), (0.03, "different within margin"), "slightly worse on PET"),
        ((0.1, "different"), (0.08, "different"), "worse on PET"),
        ((0.01, "inconclusive"), (0.08, "different"), "worse on PET"),
        ((0.01, "inconclusive"), (0.0, "equivalent"), "as good on PET"),
        ((0.0, "equivalent"), (-0.06, "different"), "inconclusive"),
        ((-0.1, "different"), (-0.08, "different"), "better on PET"),
        ((0.0, "equivalent"), (0.0, "inconclusive"), "inconclusive"),
    ],
)
def test_conclusions(raw, controlled, expected):
    row = {
        "difference": raw[0], "verdict": raw[1], "controlled_difference": controlled[0],
        "controlled_verdict": controlled[1], "floor_structural": 0.8, "floor_functional": 0.7,
        "no_difference": False,
    }  # fmt: skip
    conclusion, remark = conclude(row, "dice")
    assert conclusion == expected
    assert bool(remark) == (raw[1] != controlled[1] or raw[0] * controlled[0] < 0)
