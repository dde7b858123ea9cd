"""Grids whose axes are not at right angles: volumes by the determinant, distances in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from evaluator.imaging.geometry import make_grid, sheared_axes, spacing, to_world, voxel_ml
from evaluator.metrics.kernels.sheared_grid import sheared_surfel_areas
from evaluator.metrics.kernels.surface_area import surfel_areas
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure
from evaluator.scoring.file_pairs import Pair
from evaluator.scoring.files import Settings, score_pair
from tests.unit.test_metrics_oracle import _codes as codes_of

if TYPE_CHECKING:
    from pathlib import Path

SURFACES = ("nsd", "hd", "hd95", "assd", "masd", "volume_error_ml")
STEPS = st.tuples(*[st.floats(0.5, 4)] * 3)
SHEARS = st.tuples(*[st.floats(-0.7, 0.7)] * 3)


def tilted(steps: Any, shears: Any) -> Any:
    """An affine of oblique, sheared axes."""
    matrix = np.array([[1, shears[0], shears[1]], [0, 1, shears[2]], [0, 0, 1.0]])
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ matrix @ np.diag(steps)
    affine[:3, 3] = (11, -7, 300)
    return affine


def pair_of(seed: int, axes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 9, axes)
    reference, noise = (ndimage.gaussian_filter(rng.normal(size=shape), 0.7) for _ in range(2))
    return reference > 0, reference + rng.uniform(0, 1) * noise > 0


def by_brute_force(masks: Any, affine: Any, tolerance_mm: float) -> dict[str, float]:
    """All distances from every corner to every other, in the world; scipy computes them."""
    axes = list(range(masks[0].ndim))
    areas = sheared_surfel_areas(affine[:3, axes])
    places, weights = [], []
    for mask in masks:
        codes = codes_of(mask)
        corners = np.argwhere((codes > 0) & (codes < areas.size - 1))
        index = np.zeros((len(corners), 3))
        index[:, axes] = corners - 0.5
        places.append(to_world(affine, index))
        weights.append(areas[codes[tuple(corners.T)]])
    distances = cdist(*places)
    nearest = [distances.min(axis=1), distances.min(axis=0)]
    percentiles = []
    for distance, weight in zip(nearest, weights, strict=True):
        order = np.argsort(distance, kind="stable")
        reached = np.cumsum(weight[order]) >= 0.95 * weight.sum() * (1 - 1e-6)
        percentiles.append(distance[order][reached.argmax()])
    total = sum(weight.sum() for weight in weights)
    within = [
        weight[distance <= tolerance_mm * (1 + 1e-6)].sum()
        for distance, weight in zip(nearest, weights, strict=True)
    ]
    moments = [(d * w).sum() for d, w in zip(nearest, weights, strict=True)]
    means = [m / w.sum() for m, w in zip(moments, weights, strict=True)]
    return {
        "nsd": sum(within) / total,
        "hd": max(distance.max() for distance in nearest),
        "hd95": max(percentiles),
        "assd": sum(moments) / total,
        "masd": sum(means) / 2,
        "volume_error_ml": (int(masks[1].sum()) - int(masks[0].sum()))
        * abs(np.linalg.det(affine[:3, :3]))
        / 1000,
    }


def measured(masks: Any, affine: Any, tolerance_mm: float, names: Any = SURFACES) -> Any:
    axes = tuple(range(masks[0].ndim))
    measures = measure(
        *masks,
        [spacing(affine)[axis] for axis in axes],
        tolerance_mm,
        sheared_axes=sheared_axes(affine, axes),
    )
    return {row.metric: row.value for row in score(measures, names)}


@pytest.mark.parametrize("order", ["C", "F"])
@given(seed=st.integers(0, 2**32 - 1), steps=STEPS, shears=SHEARS, tolerance=st.floats(0.5, 4))
@settings(max_examples=60, deadline=None)
def test_surfaces_are_measured_in_the_world(
    order: Any, seed: int, steps: Any, shears: Any, tolerance: float
) -> None:
    masks = [np.asarray(mask, order=order) for mask in pair_of(seed)]
    affine = tilted(steps, shears)
    if not all(mask.any() for mask in masks) or sheared_axes(affine) is None:
        return
    expected = by_brute_force(masks, affine, tolerance)
    values = measured(masks, affine, tolerance)
    for name in SURFACES:
        assert values[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name


@given(seed=st.integers(0, 2**32 - 1), steps=STEPS, shears=SHEARS)
@settings(max_examples=40, deadline=None)
def test_contours_of_sheared_planes(seed: int, steps: Any, shears: Any) -> None:
    masks = pair_of(seed, axes=2)
    affine = tilted(steps, shears)
    if not all(mask.any() for mask in masks) or sheared_axes(affine, (0, 1)) is None:
        return
    expected = by_brute_force(masks, affine, 1.5)
    values = measured(masks, affine, 1.5)
    for name in SURFACES[:-1]:
        assert values[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("count", [2, 3])
@given(steps=STEPS)
@settings(max_examples=20, deadline=None)
def test_the_areas_of_right_angles_are_the_known_ones(count: int, steps: Any) -> None:
    axes = np.diag(steps)[:, :count]
    known = surfel_areas(steps[:count])
    np.testing.assert_allclose(sheared_surfel_areas(axes), known, rtol=1e-12)


@given(steps=STEPS, shears=SHEARS)
@settings(max_examples=20, deadline=None)
def test_areas_do_not_depend_on_the_direction_of_an_axis_or_of_the_world(
    steps: Any, shears: Any
) -> None:
    axes = tilted(steps, shears)[:3, :3]
    areas = sheared_surfel_areas(axes)
    turned = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]) @ axes
    np.testing.assert_allclose(sheared_surfel_areas(turned), areas, rtol=1e-9)
    codes = np.arange(256)
    # with the last axis reversed, neighbouring bits change places
    swapped = ((codes & 0x55) << 1) | ((codes & 0xAA) >> 1)
    reversed_axis = axes * np.array([1, 1, -1])
    np.testing.assert_allclose(sheared_surfel_areas(reversed_axis)[swapped], areas, rtol=1e-9)
    # a code and its complement have one surface
    np.testing.assert_allclose(areas[255 - codes], areas, rtol=1e-9)


@given(steps=STEPS, shears=SHEARS)
@settings(max_examples=20, deadline=None)
def test_a_flat_face_has_the_area_of_its_parallelogram(steps: Any, shears: Any) -> None:
    axes = tilted(steps, shears)[:3, :3]
    areas = sheared_surfel_areas(axes)
    for code, (a, b) in ((0b11110000, (1, 2)), (0b11001100, (0, 2)), (0b10101010, (0, 1))):
        face = np.linalg.norm(np.cross(axes[:, a], axes[:, b]))
        assert areas[code] == pytest.approx(face, rel=1e-9)


@given(steps=STEPS, shears=SHEARS)
@settings(max_examples=10, deadline=None)
def test_a_nearly_right_angle_is_continuous(steps: Any, shears: Any) -> None:
    masks = pair_of(3)
    straight = measured(masks, tilted(steps, (0, 0, 0)), 2.0, ("hd", "assd"))
    affine = tilted(steps, tuple(1e-3 * np.sign(shear or 1) for shear in shears))
    nearly = measured(masks, affine, 2.0, ("hd", "assd"))
    for name, value in straight.items():
        assert nearly[name] == pytest.approx(value, rel=0.02), name


@given(steps=STEPS, shears=SHEARS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_uptake_is_measured_in_the_world(steps: Any, shears: Any, seed: int) -> None:
    mask, _ = pair_of(seed)
    affine = tilted(steps, shears)
    axes = sheared_axes(affine)
    if not mask.any() or axes is None:
        return
    image = np.random.default_rng(seed).uniform(0, 9, mask.shape)
    measures = measure(
        mask, mask, spacing(affine), 1.0, measurements={"uptake"}, image=image, sheared_axes=axes
    )
    assert measures.uptake is not None
    region = measures.uptake.reference
    ml = int(mask.sum()) * voxel_ml(affine)
    assert region.ml == pytest.approx(ml, rel=1e-9)
    assert region.glycolysis == pytest.approx(ml * image[mask].mean(), rel=1e-9)
    places = to_world(affine, np.argwhere(np.ones(mask.shape)))
    radius = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
    near = cdist(places[mask.ravel()], places) <= radius
    assert region.peak == pytest.approx((near @ image.ravel() / near.sum(axis=1)).max(), rel=1e-9)


@pytest.mark.parametrize("degrees", [6, 20, 30])
def test_a_tilted_gantry_is_scored_in_the_patients_space(tmp_path: Path, degrees: int) -> None:
    affine = np.diag([0.9, 0.8, 5.0, 1.0])
    affine[1, 2] = 5 * np.tan(np.radians(degrees))
    masks = [np.zeros((20, 18, 10), np.uint8) for _ in range(2)]
    masks[0][4:12, 5:12, 2:7] = 1
    masks[1][4:12, 7:13, 3:9] = 1
    for name, mask in zip("rp", masks, strict=True):
        nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / f"{name}.nii.gz")
    pair = Pair(name="a", reference=tmp_path / "r.nii.gz", prediction=tmp_path / "p.nii.gz")
    how = Settings(tolerance_mm=lambda _: 2.0, metrics=SURFACES)
    (target,) = score_pair(pair, how)["targets"]
    expected = by_brute_force(masks, affine, 2.0)
    for name in SURFACES:
        key = name + ("_mm" if name.startswith("hd") or name.endswith("sd") else "")
        key = "nsd" if name == "nsd" else key
        assert target[key] == pytest.approx(expected[name], rel=1e-5), name
    grid = make_grid(masks[0].shape, affine)
    ml = int(masks[0].sum()) * abs(np.linalg.det(np.array(grid.affine)[:3, :3])) / 1000
    assert target["reference_ml"] == pytest.approx(ml, rel=1e-6)
