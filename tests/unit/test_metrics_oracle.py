"""The scorer against a simple one: dense crops, scipy's exact distance transform, exact sums.

The simple scorer is tested against the definition: all distances from every corner to every other.
"""

from __future__ import annotations

from dataclasses import replace
from math import fsum, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from evaluator.metrics import label_content, pair_measurement
from evaluator.metrics.kernels import dense_surface
from evaluator.metrics.kernels.surface_area import surfel_areas
from evaluator.metrics.kernels.surface_statistics import Surface
from evaluator.metrics.measurements import Measures
from evaluator.metrics.target_measurement import measure, measure_labels, measure_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def measure_simply(
    reference: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float], tolerance_mm: float
) -> Measures:
    """Measure one pair of masks (nonzero is inside) with as many axes as ``spacing`` has."""
    masks = [np.asarray(reference) != 0, np.asarray(prediction) != 0]
    either = masks[0] | masks[1]
    voxels = [int(mask.sum()) for mask in masks]
    common = {
        "reference_voxels": voxels[0],
        "prediction_voxels": voxels[1],
        "shared_voxels": int((masks[0] & masks[1]).sum()),
        "voxel_ml": prod(spacing) / 1000,
        "tolerance_mm": tolerance_mm,
    }
    if not either.any():
        return Measures(**common)
    box = ndimage.find_objects(either.astype(np.uint8))[0]
    areas = surfel_areas(spacing)
    codes = [_codes(mask[box]) for mask in masks]
    borders = [(code > 0) & (code < areas.size - 1) for code in codes]
    surfaces = []
    for source, destination in ((0, 1), (1, 0)):
        weights = areas[codes[source][borders[source]]]
        if not weights.size or not voxels[destination]:
            surfaces.append(Surface(area=fsum(weights), corners=weights.size))
            continue
        transform = ndimage.distance_transform_edt(~borders[destination], sampling=spacing)
        distances = transform[borders[source]]
        order = np.lexsort((weights, distances))
        within = np.cumsum(weights[order])
        position = min(int(np.searchsorted(within, 0.95 * within[-1] * (1 - 1e-6))), order.size - 1)
        surfaces.append(
            Surface(
                area=fsum(weights),
                area_within=fsum(weights[distances <= tolerance_mm * (1 + 1e-6)]),
                moment=fsum(weights * distances),
                farthest=float(distances.max()),
                percentile_95=float(distances[order][position]),
                corners=weights.size,
            )
        )
    return Measures(**common, reference=surfaces[0], prediction=surfaces[1])


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    padded = np.pad(mask, 1).astype(np.int64)
    kernel = 2 ** np.arange(2**mask.ndim)[::-1].reshape((2,) * mask.ndim)
    codes = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.int64)
    for shift in np.ndindex(kernel.shape):
        window = tuple(slice(i, i + n) for i, n in zip(shift, codes.shape, strict=True))
        codes += kernel[shift] * padded[window]
    return codes


def same(ours: Measures, oracle: Measures) -> None:
    for name in ("reference_voxels", "prediction_voxels", "shared_voxels"):
        assert getattr(ours, name) == getattr(oracle, name), name
    for surface_of in ("reference", "prediction"):
        surface, expected = getattr(ours, surface_of), getattr(oracle, surface_of)
        assert surface.corners == expected.corners
        for name in ("area", "area_within", "moment", "farthest", "percentile_95"):
            value = pytest.approx(getattr(expected, name), rel=1e-13, abs=1e-12)
            assert getattr(surface, name) == value, (surface_of, name)


def blobs(
    rng: np.random.Generator, shape: Sequence[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks between smooth and noisy, between alike and unrelated."""
    grain = rng.uniform(0, 4)
    reference, prediction = (
        ndimage.gaussian_filter(rng.normal(size=shape), grain) for _ in range(2)
    )
    if rng.random() < 0.7:
        prediction = reference + rng.uniform(0, 0.5) * prediction
    level = np.quantile(reference, rng.uniform(0.2, 0.99))
    return reference > level, prediction > level


@pytest.mark.parametrize("seed", range(60))
def test_any_pair_of_masks_measures_as_the_simple_scorer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = 2 + seed % 2
    shape = rng.integers(1, 30 if axes == 3 else 150, axes)
    spacing = rng.uniform(0.3, 4, axes) if seed % 3 else rng.choice([0.5, 1, 1.5, 2, 5], axes)
    reference, prediction = (
        np.asarray(mask, order="FC"[int(rng.integers(2))]) for mask in blobs(rng, shape)
    )
    tolerance = float(rng.uniform(0.5, 6))
    ours = measure(reference, prediction, spacing, tolerance, threads=1 + seed % 4)
    same(ours, measure_simply(reference, prediction, spacing, tolerance))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bad", ["mirrored", "islands", "salt", "all", "one voxel"])
def test_bad_predictions_are_measured_exactly_too(bad: str, order: Any) -> None:
    rng = np.random.default_rng(5)
    shape, spacing = (120, 70, 50), (0.7, 1.1, 3.0)
    reference = np.zeros(shape, dtype=np.uint8)
    reference[3:30, 20:40, 5:30] = 1
    reference[10:20, 25:60, 20:25] = 1
    prediction = {
        "mirrored": reference[::-1],
        "islands": reference | (ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.25),
        "salt": reference ^ (rng.random(shape) < 0.001),
        "all": np.ones(shape),
        "one voxel": np.arange(reference.size).reshape(shape) == reference.size - 1,
    }[bad]
    reference, prediction = (
        np.asarray(reference, order=order),
        np.asarray(prediction, dtype=np.uint8, order=order),
    )
    same(
        measure(reference, prediction, spacing, 2.0),
        measure_simply(reference, prediction, spacing, 2.0),
    )


def test_the_border_of_a_volume_that_a_reference_fills_is_surface() -> None:
    """Two planes are missing; a distance map without an outside would have no contour."""
    reference = np.ones((22, 14, 18), dtype=np.uint8)
    prediction = reference.copy()
    prediction[:2] = 0
    measured = measure(reference, prediction, (2.0, 1.0, 1.5), 2.0)
    same(measured, measure_simply(reference, prediction, (2.0, 1.0, 1.5), 2.0))
    assert measured.reference.farthest == pytest.approx(4.0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(31, 40, 53), (70, 90)])
@pytest.mark.parametrize("which", ["reference", "prediction", "both"])
def test_noise_is_measured_exactly_without_lists_of_corners(
    monkeypatch, shape: Any, which: str, order: Any
) -> None:
    rng = np.random.default_rng(7)
    smooth, spacing = np.zeros(shape, dtype=np.uint8, order=order), (1.5, 0.7, 2.0)[: len(shape)]
    smooth[5:20, 5:30], smooth[22:30, 5:30] = 1, 2
    noise = [np.asarray(rng.integers(0, 4, shape), dtype=np.uint8, order=order) for _ in range(2)]
    pair = {"reference": (noise[0], smooth), "prediction": (smooth, noise[0]), "both": noise}[which]
    targets = {name: (int(name),) for name in "1234"}
    image = rng.random(shape).astype(np.float32)
    measurements: Any = dict.fromkeys(targets, ("lesions", "uptake", "centre_lines"))

    def measures(threads: int) -> Any:
        tolerances = dict.fromkeys(targets, 1.4)
        return measure_labels(
            *pair, targets, spacing, tolerances, threads, measurements=measurements, image=image
        )

    listed = measures(1)
    monkeypatch.setattr(label_content, "LEAST_CORNERS", 500)
    monkeypatch.setattr(dense_surface, "CHUNK_BYTES", 2**18)
    called = []
    monkeypatch.setattr(
        pair_measurement,
        "dense_surfaces",
        lambda *args: called.append(1) or dense_surface.dense_surfaces(*args),
    )
    dense = measures(1)
    assert dense == measures(3)
    assert len(called) == 2 * len(targets)
    for name in targets:
        same(dense[name], listed[name])
        assert replace(dense[name], reference=None, prediction=None) == replace(
            listed[name], reference=None, prediction=None
        )
    same(listed["1"], measure_simply(pair[0] == 1, pair[1] == 1, spacing, 1.4))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">i2", "i4", "u4", "i8", ">u8"])
def test_label_maps_of_any_integers_measure_as_their_masks_one_by_one(dtype: str) -> None:
    rng = np.random.default_rng(2)
    kinds = np.dtype(dtype)
    top = min(np.iinfo(kinds).max, 2**40)
    values = np.unique(np.r_[0, 1, rng.integers(max(np.iinfo(kinds).min, -(2**40)), top, 20), top])
    index = ndimage.zoom(rng.integers(0, values.size, (6, 6, 4)), 4, order=0)
    reference = values[index].astype(kinds)
    prediction = np.asfortranarray(values[np.roll(index, 2, axis=0)].astype(kinds))
    targets = {str(value): (int(value),) for value in values} | {
        "several": tuple(int(value) for value in values[:3])
    }
    targets["absent"] = (7 if 7 not in values else 8,)
    tolerances = dict.fromkeys(targets, 1.5)
    measures = measure_labels(reference, prediction, targets, (1, 2, 3), tolerances, threads=2)
    assert list(measures) == list(targets)
    for name, labels in targets.items():
        same(
            measures[name],
            measure_simply(np.isin(reference, labels), np.isin(prediction, labels), (1, 2, 3), 1.5),
        )


def test_a_thousand_labels_at_once() -> None:
    index = np.arange(1000).reshape(10, 10, 10)
    reference = np.kron(index, np.ones((3, 3, 3), dtype=int)).astype(np.int32)
    prediction = np.roll(reference, 1, axis=2)
    targets = {str(label): (label,) for label in range(1000)}
    measures = measure_labels(
        reference, prediction, targets, (1, 1, 1), dict.fromkeys(targets, 0.5)
    )
    for label in (0, 1, 31, 32, 255, 256, 999):
        same(
            measures[str(label)],
            measure_simply(reference == label, prediction == label, (1, 1, 1), 0.5),
        )


@pytest.mark.parametrize("order", ["C", "F"])
def test_overlapping_masks_measure_each_against_its_own_target(order: Any) -> None:
    rng = np.random.default_rng(3)
    shape = (40, 30, 20)
    labels = np.zeros(shape, dtype=np.int16, order=order)
    labels[5:20, 5:20, 5:15] = 3
    labels[20:35, 5:20, 5:15] = 300
    targets = {"a": (3,), "b": (300,), "both": (3, 300), "none": (9,)}
    masks = {
        name: np.asarray(
            ndimage.gaussian_filter(np.isin(labels, v) + rng.normal(size=shape) / 2, 1) > 0.4,
            np.uint8,
        )
        for name, v in targets.items()
    }
    tolerances = {"a": 1.0, "b": 2.0, "both": 3.0, "none": 1.0}
    for threads in (1, 3):
        measures = measure_masks(labels, targets, masks, (1.5, 1, 2), tolerances, threads=threads)
        for name, values in targets.items():
            same(
                measures[name],
                measure_simply(np.isin(labels, values), masks[name], (1.5, 1, 2), tolerances[name]),
            )


@pytest.mark.parametrize("seed", range(6))
def test_the_simple_scorer_follows_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = 2 + seed % 2
    reference, prediction = blobs(rng, (9,) * axes)
    spacing = rng.uniform(0.5, 2, axes)
    oracle = measure_simply(reference, prediction, spacing, 1.0)
    codes = [_codes(mask) for mask in (reference, prediction)]
    full = 2 ** (2**axes) - 1
    positions = [np.argwhere((code > 0) & (code < full)) * spacing for code in codes]
    weights = [surfel_areas(spacing)[code[(code > 0) & (code < full)]] for code in codes]
    distances_between = cdist(*positions)
    for surface, distances, areas in (
        (oracle.reference, distances_between.min(axis=1), weights[0]),
        (oracle.prediction, distances_between.min(axis=0), weights[1]),
    ):
        assert surface.farthest == pytest.approx(distances.max(), rel=1e-12)
        assert surface.mean == pytest.approx(np.average(distances, weights=areas), rel=1e-12)
        assert surface.area_within == pytest.approx(areas[distances <= 1.0].sum(), rel=1e-12)
