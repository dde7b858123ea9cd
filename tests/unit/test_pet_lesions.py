"""Uptake and lesions on PET: against plain numpy and scipy, in the tables and on the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.stats import spearmanr, t
from statsmodels.stats.proportion import proportion_confint

import evaluator
import evaluator.report
from evaluator import paths
from evaluator.analysis.pet_lesions import (
    BIN_NAMES,
    measure_pet_lesions,
    size_bin,
    wants_pet_lesions,
)
from evaluator.imaging import geometry
from evaluator.metrics.lesions import list_lesions
from evaluator.report.context import Options
from evaluator.report.pages.lesions import agreement_rows, share_interval
from evaluator.statistics import is_proportional, ratio_agreement
from tests.tiny import PAINTER, make_dataset, make_project

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
#: the box, and a second component far from it; nothing for subject c, who has another image
TWO = PAINTER.replace("return mask\n", "mask[0, 0, 0] = 1\n            return mask\n", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pet")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, RunStore]:
    """Runs of two models under pet-lesions on six subjects, and of one under box."""
    dataset = make_dataset(folder / "data", list("abcdef"), targets=("lesion",))
    with pytest.MonkeyPatch.context() as patch:
        project = make_project(folder / "project", {"box": PAINTER, "two": TWO})
        patch.setenv("UMD_CACHE", str(folder / "cache"))
        patch.setenv("UMD_PROJECT", str(project))
        patch.setenv("UMD_RUNS", str(folder / "runs"))
        plans = {"box": "pet-lesions", "two": "pet-lesions", "other": "box"}
        return {
            name: evaluator.run(
                "box" if name == "other" else name, dataset, protocol,
                engine="local", gpus=(), recheck=0,
            )
            for name, protocol in plans.items()
        }  # fmt: skip


def by_definition(image: np.ndarray, mask: np.ndarray, spacing: Any) -> dict[str, float]:
    """MTV, TLG and SUV of a region, voxel by voxel."""
    radius = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
    every = np.indices(mask.shape).reshape(3, -1).T
    peaks = []
    for voxel in np.argwhere(mask):
        near = np.linalg.norm((every - voxel) * spacing, axis=1) <= radius
        peaks.append(image.reshape(-1)[near].mean())
    ml = mask.sum() * np.prod(spacing) / 1000
    mean = image[mask].mean()
    return {
        "MTV": ml, "TLG": mean * ml, "SUVmean": mean, "SUVmax": image[mask].max(),
        "SUVpeak": max(peaks),
    }  # fmt: skip


def test_uptake_and_lesions_are_those_of_the_definitions(runs, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("UMD_CACHE", str(folder / "cache"))
    (group,) = evaluator.load([runs["box"].path, runs["two"].path]).groups()
    assert wants_pet_lesions(group)
    measured = measure_pet_lesions(group)
    again = measure_pet_lesions(group)
    pd.testing.assert_frame_equal(measured.uptake, again.uptake)
    pd.testing.assert_frame_equal(measured.lesions, again.lesions)
    assert measured.problems == ()
    assert len(measured.uptake) == 2 * 6 * 5
    uptake = measured.uptake.set_index(["model", "case", "quantity"])
    scores = group.results.scores.set_index(["model", "case", "modality", "metric"])["value"]
    for model in ("box", "two"):
        for subject in "abcdef":
            case = f"{subject}.a"
            masks = runs[model].masks
            name = masks.name(case, "PT", seed=0, round_number=0, target="lesion")
            labels, grid = masks.read(name)
            mask = labels > 0
            image, reference = (
                np.asarray(nib.load(folder / "data" / f"{subject}_PT_{kind}.nii.gz").dataobj)
                for kind in ("image", "reference")
            )
            spacing = geometry.spacing(geometry.affine_of(grid))
            image = image.astype(float)
            expected = {
                "reference": by_definition(image, reference > 0, spacing),
                "predicted": by_definition(image, mask, spacing),
            }
            for column, values in expected.items():
                for quantity, value in values.items():
                    assert uptake.loc[(model, case, quantity), column] == pytest.approx(
                        value, rel=1e-6
                    )
            difference = uptake.loc[(model, case, "TLG")]
            score = scores.loc[(model, case, "PT", "tlg_error")]
            assert difference["predicted"] - difference["reference"] == pytest.approx(score)
    lesions = measured.lesions
    assert set(lesions[lesions["kind"] == "reference"]["touched"]) == {True}
    false = lesions[lesions["kind"] == "false"]
    assert set(false["model"]) == {"two"}
    assert len(false) == 6
    assert false["ml"].unique() == pytest.approx(4 * 3.5 * 4 / 1000)


@pytest.mark.parametrize("seed", range(30))
def test_lesions_are_the_components_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 15, 3))
    reference, prediction = (
        ndimage.gaussian_filter(rng.normal(size=shape), 1) > rng.uniform(0, 0.4) for _ in range(2)
    )
    spacing = rng.uniform(0.5, 4, 3)
    sizes = list_lesions(reference, prediction, spacing)
    labels, count = ndimage.label(reference, FACES_AND_EDGES)
    others, number = ndimage.label(prediction, FACES_AND_EDGES)
    voxel_ml = np.prod(spacing) / 1000
    expected = []
    for label in range(1, count + 1):
        lesion = labels == label
        ious = [
            (lesion & (others == other)).sum() / (lesion | (others == other)).sum()
            for other in range(1, number + 1)
        ]
        expected.append(
            (lesion.sum() * voxel_ml, bool(prediction[lesion].any()), max(ious, default=0) > 0.5)
        )
    found = zip(sizes.reference_ml, sizes.touched, sizes.matched, strict=True)
    np.testing.assert_allclose(np.array(sorted(found)), np.array(sorted(expected)), rtol=1e-12)
    false = [
        (others == other).sum() * voxel_ml
        for other in range(1, number + 1)
        if not reference[others == other].any()
    ]
    assert sorted(sizes.false_ml) == pytest.approx(sorted(false))


def test_sizes_fall_into_the_stated_bins() -> None:
    sizes = (0.001, 0.999, 1.0, 4.9, 5.0, 19.9, 20.0, 4000.0)
    assert [size_bin(ml) for ml in sizes] == [name for name in BIN_NAMES for _ in range(2)]


@pytest.mark.parametrize("seed", range(10))
def test_ratios_are_bland_and_altman_of_logarithms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(2, 1, 12)
    measured = reference * rng.lognormal(0.1, 0.3, 12)
    measured[0] = 0
    agreement = ratio_agreement(measured, reference)
    logs = np.log(measured[1:] / reference[1:])
    half = 1.96 * logs.std(ddof=1)
    assert agreement.n == 11
    assert agreement.bias == pytest.approx(np.exp(logs.mean()), rel=1e-12)
    assert agreement.upper == pytest.approx(np.exp(logs.mean() + half), rel=1e-12)
    width = t.ppf(0.975, 10) * logs.std(ddof=1) / np.sqrt(11)
    interval = np.exp([logs.mean() - width, logs.mean() + width])
    assert agreement.bias_interval == pytest.approx(interval, rel=1e-12)
    assert ratio_agreement(np.zeros(3), np.ones(3)) is None
    statistic, p = spearmanr(abs(measured - reference), (measured + reference) / 2)
    assert is_proportional(measured, reference) == (statistic > 0 and p < 0.05)


def test_proportional_errors_are_recognised_and_constant_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    reference = rng.lognormal(2, 1, 40)
    proportional = reference * rng.lognormal(0, 0.3, 40)
    assert is_proportional(proportional, reference)
    called = [is_proportional(reference + rng.normal(0, 0.1, 40), reference) for _ in range(200)]
    assert np.mean(called) < 0.08
    assert not is_proportional(reference, reference)
    assert not is_proportional(proportional[:4], reference[:4])


def test_the_interval_of_a_share_has_a_width_where_all_are_found() -> None:
    all_found = np.array([[2, 2]] * 7, dtype=float)
    low, high = share_interval(all_found)
    expected = proportion_confint(7, 7, method="wilson")
    assert (low, high) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(share_interval(all_found[:4])).all()
    clustered = np.array([[9, 9], [0, 9]] * 5, dtype=float)
    low, high = share_interval(clustered)
    assert high - low > 0.5


def test_subjects_without_a_mask_are_counted_and_left_out() -> None:
    values = pd.DataFrame(
        {
            "model": "m", "target": "lesion", "quantity": "MTV", "subject": list("abcdefg"),
            "reference": [1.0, 2, 3, 4, 5, 6, 7], "predicted": [1.5, 2, 2, 5, 5.5, 6, np.nan],
        }
    )  # fmt: skip
    (row,) = agreement_rows(values).to_dict("records")
    assert (row["subjects"], row["excluded"]) == (6, 1)
    differences = np.array([0.5, 0, -1, 1, 0.5, 0])
    assert row["bias"] == pytest.approx(differences.mean())
    assert row["limit_low"] == pytest.approx(differences.mean() - 1.96 * differences.std(ddof=1))


def test_the_report_has_the_page_where_uptake_is_measured(
    runs, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("UMD_CACHE", str(folder / "cache"))
    options = Options(images=False)
    index = evaluator.report.build_report(
        [runs["box"].path, runs["two"].path], tmp_path / "r", options
    )
    page = (index.parent / "lesions.html").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in page
    assert "18 neighbours" in page
    assert "MTV" in page and "TLG" in page
    assert 'href="lesions.html"' in index.read_text(encoding="utf-8")
    (table,) = (index.parent / "tables").glob("*pet-uptake.csv")
    rows = pd.read_csv(table)
    assert set(rows["quantity"]) == {"MTV", "TLG", "SUVmean", "SUVmax", "SUVpeak"}
    assert (rows["subjects"] == 6).all()
    (figure,) = (index.parent / "figures").glob("*.MTV.lesion.csv")
    assert set(pd.read_csv(figure)["subject"]) == {f"S00{n}" for n in range(1, 7)}
    without = evaluator.report.build_report([runs["other"].path], tmp_path / "o", options)
    assert not (without.parent / "lesions.html").exists()
    assert paths.cache() == folder / "cache"
