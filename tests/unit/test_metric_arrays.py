"""The scorer as a library: arrays in, scores out; and the functions of ``surface_distance``."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from evaluator.errors import UserError
from evaluator.metrics import surface_distance
from evaluator.metrics.arrays import score_arrays
from evaluator.metrics.target_measurement import measure
from evaluator.types import ScoreStatus


def masks(seed: int, axes: int) -> tuple[Any, Any, tuple[float, ...]]:
    """Two masks without symmetry, one of them in the other memory order, and a spacing."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 14, axes))
    reference, prediction = rng.random(shape) < 0.4, rng.random(shape) < 0.3
    return reference, np.asfortranarray(prediction), tuple(rng.uniform(0.5, 3, axes))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_five_functions_give_the_numbers_of_the_scorer(seed, axes):
    reference, prediction, spacing = masks(seed, axes)
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
    measures = measure(reference, prediction, spacing, 1.3)
    of_reference, of_prediction = measures.reference, measures.prediction
    assert distances["distances_gt_to_pred"].size == of_reference.corners
    assert distances["surfel_areas_pred"].sum() == pytest.approx(of_prediction.area)
    means = surface_distance.compute_average_surface_distance(distances)
    assert means == pytest.approx((of_reference.mean, of_prediction.mean))
    hausdorff = surface_distance.compute_robust_hausdorff(distances, 100)
    assert hausdorff == max(of_reference.farthest, of_prediction.farthest)
    robust = surface_distance.compute_robust_hausdorff(distances, 95)
    assert robust == max(of_reference.percentile_95, of_prediction.percentile_95)
    shares = surface_distance.compute_surface_overlap_at_tolerance(distances, 1.3)
    assert shares[0] == pytest.approx(of_reference.area_within / of_reference.area)
    scores = score_arrays(reference, prediction, spacing, tolerance_mm=1.3, labels={"mask": 1})[
        "mask"
    ]
    nsd = surface_distance.compute_surface_dice_at_tolerance(distances, 1.3)
    assert nsd == pytest.approx(scores["nsd"].value)
    dice = surface_distance.compute_dice_coefficient(reference, prediction)
    assert dice == scores["dice"].value
    assert robust == scores["hd95"].value


def test_empty_masks_have_the_results_of_the_package():
    empty, full = np.zeros((4, 5, 6), dtype=bool), np.ones((4, 5, 6), dtype=bool)
    distances = surface_distance.compute_surface_distances(full, empty, (1, 1, 1))
    assert np.isinf(distances["distances_gt_to_pred"]).all()
    assert distances["distances_pred_to_gt"].size == 0
    assert surface_distance.compute_robust_hausdorff(distances, 95) == np.inf
    assert surface_distance.compute_surface_dice_at_tolerance(distances, 1) == 0
    assert np.isnan(surface_distance.compute_surface_overlap_at_tolerance(distances, 1)[1])
    assert np.isnan(surface_distance.compute_average_surface_distance(distances)[1])
    nothing = surface_distance.compute_surface_distances(empty, empty, (1, 1, 1))
    assert np.isnan(surface_distance.compute_surface_dice_at_tolerance(nothing, 1))
    assert np.isnan(surface_distance.compute_dice_coefficient(empty, empty))


def test_labels_are_those_of_both_arrays_unless_named():
    reference, prediction = np.zeros((2, 9, 8, 7), dtype=np.int32)
    reference[1:4, 1:4, 1:4] = 5
    prediction[1:4, 1:4, 1:5] = 70000
    scores = score_arrays(reference, prediction, (1, 1, 2), tolerance_mm=1)
    assert list(scores) == ["5", "70000"]
    assert scores["5"]["dice"].value == 0
    assert scores["5"]["hd95"].value is None
    assert scores["5"]["hd95"].status == ScoreStatus.ONE_EMPTY
    named = score_arrays(
        reference, prediction, (1, 1, 2), tolerance_mm={"organ": 1}, labels={"organ": (5, 70000)}
    )
    assert named["organ"]["dice"].value == pytest.approx(2 * 27 / (27 + 36))
    numbers = {"organ": reference.max()}
    assert (
        score_arrays(reference, reference, (1, 1, 2), tolerance_mm=1, labels=numbers)["organ"]
        == score_arrays(reference, reference, (1, 1, 2), tolerance_mm=1, labels={"organ": 5})[
            "organ"
        ]
    )


def test_optional_metrics_are_measured():
    reference, prediction = np.zeros((2, 9, 8, 7), dtype=np.uint8)
    reference[1:4, 1:4, 1:4] = prediction[1:4, 1:4, 1:4] = 1
    image = np.full(reference.shape, 2.0)
    names = ("lesion_f1", "suvmax_error", "cldice")
    without = score_arrays(reference, prediction, (1, 1, 1), tolerance_mm=1, metrics=names)["1"]
    assert without["lesion_f1"].value == 1
    assert without["suvmax_error"].status == ScoreStatus.NOT_APPLICABLE
    scores = score_arrays(
        reference, prediction, (1, 1, 1), tolerance_mm=1, metrics=names, image=image
    )["1"]
    assert [scores[name].value for name in names] == [1, 0, 1]


def test_errors_name_what_is_wrong():
    mask = np.ones((3, 3, 3), dtype=np.uint8)
    with pytest.raises(UserError, match="no metric is called 'dize'"):
        score_arrays(mask, mask, (1, 1, 1), tolerance_mm=1, metrics=("dize",))
    with pytest.raises(UserError, match="no value for '1'"):
        score_arrays(mask, mask, (1, 1, 1), tolerance_mm={"2": 1})
    with pytest.raises(ValueError, match="shapes differ"):
        score_arrays(mask, mask[1:], (1, 1, 1), tolerance_mm=1)
    for tolerance in (-1, float("nan")):
        with pytest.raises(UserError, match="tolerance of '1' must be 0 mm or more"):
            score_arrays(mask, mask, (1, 1, 1), tolerance_mm=tolerance)
    for numbers in (mask * 0.0, mask * np.nan):
        with pytest.raises(TypeError, match="integers"):
            score_arrays(mask, numbers, (1, 1, 1), tolerance_mm=1)
    with pytest.raises(TypeError, match="integers"):
        surface_distance.compute_surface_distances(mask * 0.5, mask, (1, 1, 1))
    with pytest.raises(ValueError, match="a mask holds 0 and 1, not 255"):
        surface_distance.compute_surface_distances(mask, mask * 255, (1, 1, 1))


def test_the_library_needs_numpy_scipy_and_numba():
    code = (
        "import sys, numpy, numba, scipy\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "import evaluator.metrics.arrays, evaluator.metrics.surface_distance\n"
        "print(*{name.split('.')[0] for name in sys.modules} - before - sys.stdlib_module_names)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) <= {"evaluator", "zoo_sdk", "cython_runtime"}
