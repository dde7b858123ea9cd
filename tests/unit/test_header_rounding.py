"""The rounding of a header decides no score: one pair of masks, its header rotated."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from evaluator.imaging.geometry import spacing
from evaluator.metrics import label_content
from evaluator.metrics.kernels.surface_statistics import summarise
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure

NAMES = ("dice", "nsd", "hd", "hd95", "assd", "masd", "volume_error_ml")
#: relative rounding of 32 bits, through squares and sums
ROUNDING = 1e-5


def values(reference: Any, prediction: Any, steps: Any, tolerance_mm: float) -> dict[str, Any]:
    measures = measure(reference, prediction, steps, tolerance_mm)
    return {row.metric: row.value for row in score(measures, NAMES)}


def rotated_spacing(steps: Any, turns: Any) -> tuple[float, float, float]:
    """The spacing that a reader gets from the header of a rotated volume's file."""
    angles = np.array(turns)
    axis = angles / (np.linalg.norm(angles) or 1.0)
    cross = np.cross(np.eye(3), axis)
    angle = np.linalg.norm(angles)
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(steps)
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), affine)
    return spacing(nibabel.Nifti1Image.from_bytes(image.to_bytes()).affine)


def pair_of(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = rng.integers(4, 16, 3)
    reference, noise = (ndimage.gaussian_filter(rng.normal(size=shape), 1) for _ in range(2))
    return reference > 0, reference + rng.uniform(0, 1) * noise > 0


@pytest.mark.parametrize("dense", [False, True])
@given(
    seed=st.integers(0, 2**32 - 1),
    turns=st.tuples(*[st.floats(-3, 3)] * 3),
    steps=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 3.0])] * 3),
    tolerance_mm=st.sampled_from([1.0, 1.5, 2.0, 3.0, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_a_rotated_header_changes_no_score(
    dense: bool, seed: int, turns: Any, steps: Any, tolerance_mm: float
) -> None:
    pair = pair_of(seed)
    with pytest.MonkeyPatch.context() as patch:
        if dense:
            patch.setattr(label_content, "LEAST_CORNERS", 0)
            patch.setattr(label_content, "VOXELS_PER_CORNER", 2**62)
        straight = values(*pair, steps, tolerance_mm)
        rotated = values(*pair, rotated_spacing(steps, turns), tolerance_mm)
    for name, value in straight.items():
        assert rotated[name] == pytest.approx(value, rel=ROUNDING, abs=ROUNDING), name


@pytest.mark.parametrize("step", [1.0, 1.0 + 6e-8, 1.0 - 6e-8])
def test_a_distance_that_equals_the_tolerance_is_within(step: float) -> None:
    reference = np.zeros((12, 12, 12), np.uint8)
    reference[2:8, 2:8, 2:8] = 1
    prediction = np.zeros_like(reference)
    prediction[3:9, 2:8, 2:8] = 1
    assert values(reference, prediction, (step, step, step), 1.0)["nsd"] == 1.0
    assert values(reference, prediction, (step, step, step), 0.999)["nsd"] < 0.9


def test_the_tolerance_has_no_more_slack_than_rounding_needs() -> None:
    reference = np.zeros((12, 12, 12), np.uint8)
    reference[2:8, 2:8, 2:8] = 1
    prediction = np.zeros_like(reference)
    prediction[3:9, 2:8, 2:8] = 1
    steps = (1.00001, 1.00001, 1.00001)
    assert values(reference, prediction, steps, 1.0)["nsd"] < 0.9


@pytest.mark.parametrize(
    ("area", "percentile"), [(1.0, 0.0), (1 + 6e-8, 0.0), (1 - 6e-8, 0.0), (1.0001, 3.0)]
)
def test_a_share_that_equals_95_percent_is_reached(area: float, percentile: float) -> None:
    """A surface of 20 mm^2: 19 of them at distance 0, 1 at distance 3 mm."""
    codes, squares = np.array([0, 1], np.uint8), np.array([0.0, 9.0])
    surface = summarise(codes, squares, np.array([19.0, area]), 1.0)
    assert surface.percentile_95 == percentile
