"""Uptake and centre lines: values calculated by hand, published values, and properties."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from evaluator.metrics.kernels.skeleton import thin
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure, measure_labels, measure_masks
from evaluator.volumes import read_image, read_labels

if TYPE_CHECKING:
    from pathlib import Path

MEASUREMENTS: Any = ("lesions", "uptake", "centre_lines")
NAMES = tuple(name for name, metric in METRICS.items() if metric.measurement)
UPTAKE = tuple(name for name in NAMES if METRICS[name].measurement == "uptake")
SPACINGS = st.tuples(*[st.sampled_from([1.0, 2.0, 3.5])] * 3)


def masks(side: int = 7) -> Any:
    shapes = npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=side)
    return shapes.flatmap(lambda shape: st.tuples(*[npst.arrays(np.bool_, shape)] * 2))


def image_for(mask: Any) -> Any:
    return np.random.default_rng(mask.size).gamma(1.0, 3.0, mask.shape).astype(np.float32)


def values(measures: Any, names: Any = NAMES) -> dict[str, float | None]:
    return {row.metric: row.value for row in score(measures, names)}


def near(expected: dict[str, float | None]) -> dict[str, Any]:
    return {
        name: None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)
        for name, value in expected.items()
    }


def test_the_digital_phantom_has_the_values_that_ibsi_publishes(shared_data: Path) -> None:
    """IBSI reference manual, digital phantom: 592 mm3, mean 2.15, maximum 6, peak 3.10."""
    folder = shared_data / "07_ibsi_digital_phantom"
    mask, image = read_labels(folder / "mask.nii.gz")[0], read_image(folder / "phantom.nii.gz")[0]
    for order in "CF":
        arrays = [np.asarray(array, order=order) for array in (mask, image)]
        uptake = measure(
            arrays[0], arrays[0], (2, 2, 2), 1.0, measurements=["uptake"], image=arrays[1]
        ).uptake
        assert uptake is not None
        assert uptake.reference == uptake.prediction
        assert uptake.reference.ml == pytest.approx(0.592)
        assert round(uptake.reference.mean, 2) == 2.15
        assert uptake.reference.max == 6
        assert round(uptake.reference.peak, 2) == 3.10
        assert uptake.reference.glycolysis == pytest.approx(0.592 * 159 / 74)


def test_the_peak_counts_voxels_of_the_sphere_outside_the_region() -> None:
    image = np.zeros((9, 9, 9), dtype=np.float32)
    image[4, 4, 4] = 33.0
    mask = image > 0
    # 5 mm voxels: the middle and its six neighbours lie within 6.2 mm
    uptake = measure(mask, mask, (5, 5, 5), 1.0, measurements=["uptake"], image=image).uptake
    assert uptake is not None
    assert (uptake.reference.max, uptake.reference.peak) == (33.0, pytest.approx(33 / 7))


@pytest.mark.parametrize("seed", range(6))
def test_uptake_is_what_numpy_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, spacing = tuple(rng.integers(3, 14, 3)), rng.uniform(1.5, 5, 3)
    image = rng.gamma(1, 3, shape).astype(np.float32)
    reference, prediction = (rng.random(shape) < 0.3 for _ in range(2))
    reach = [int(6.3 / step) for step in spacing]
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1)
    ball = (np.linalg.norm(grid * spacing, axis=-1) <= (750 / np.pi) ** (1 / 3)).astype(float)
    peaks = ndimage.correlate(image.astype(float), ball, mode="constant")
    peaks /= ndimage.correlate(np.ones(shape), ball, mode="constant")
    result = values(
        measure(reference, prediction, spacing, 1.0, measurements=["uptake"], image=image), UPTAKE
    )
    ml = spacing.prod() / 1000
    wide = image.astype(float)
    assert result == near(
        {
            "mtv_error_ml": (prediction.sum() - reference.sum()) * ml,
            "tlg_error": (wide[prediction].sum() - wide[reference].sum()) * ml,
            "suvmean_error": wide[prediction].mean() - wide[reference].mean(),
            "suvmax_error": wide[prediction].max() - wide[reference].max(),
            "suvpeak_error": peaks[prediction].max() - peaks[reference].max(),
        }
    )


def test_uptake_of_an_empty_mask() -> None:
    image = np.full((4, 4, 4), 2.0, dtype=np.float32)
    mask, nothing = np.ones((4, 4, 4), dtype=np.uint8), np.zeros((4, 4, 4), dtype=np.uint8)
    rows = score(
        measure(mask, nothing, (5, 5, 5), 1.0, measurements=["uptake"], image=image), UPTAKE
    )
    assert [(row.value, row.status) for row in rows] == [
        (-8.0, "ok"),
        (-16.0, "ok"),
        *[(None, "one-empty")] * 3,
    ]
    rows = score(
        measure(nothing, nothing, (5, 5, 5), 1.0, measurements=["uptake"], image=image), UPTAKE
    )
    assert {(row.value, row.status) for row in rows} == {(None, "undefined")}
    with pytest.raises(ValueError, match="needs an image"):
        measure(mask, mask, (5, 5, 5), 1.0, measurements=["uptake"])
    with pytest.raises(ValueError, match="shapes differ"):
        measure(mask, mask, (5, 5, 5), 1.0, measurements=["uptake"], image=image[1:])


def test_the_centre_line_of_a_rod_is_its_axis() -> None:
    rod = np.zeros((7, 9, 30), dtype=bool)
    rod[2:5, 3:6, 2:28] = True
    line = thin(rod)
    assert {tuple(index) for index in np.argwhere(line)[:, :2].tolist()} == {(3, 4)}
    assert line.sum() >= 20


def test_cldice_sees_a_gap_that_dice_does_not() -> None:
    full = np.zeros((7, 7, 40), dtype=np.uint8)
    full[2:5, 2:5] = 1
    short = full.copy()
    short[:, :, 20:] = 0
    thick = np.zeros_like(full)
    thick[1:6, 1:6] = 1
    assert (
        values(measure(full, thick, (1, 1, 1), 1.0, measurements=["centre_lines"]), ["cldice"])[
            "cldice"
        ]
        == 1.0
    )
    result = measure(full, short, (1, 1, 1), 1.0, measurements=["centre_lines"])
    lines = result.centre_lines
    assert lines is not None
    assert lines.prediction_inside == lines.prediction
    share = lines.reference_inside / lines.reference
    assert 0.4 < share < 0.6
    assert values(result, ["cldice"])["cldice"] == pytest.approx(2 * share / (1 + share))


@pytest.mark.parametrize("seed", range(15))
def test_thinning_keeps_the_topology_and_is_complete(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=rng.integers(2, 25, 3)), rng.uniform(0.3, 2))
    mask = mask > np.quantile(mask, rng.uniform(0.3, 0.9))
    line = thin(mask)
    full = np.ones((3, 3, 3))
    assert not (line & ~mask).any()
    assert ndimage.label(line, full)[1] == ndimage.label(mask, full)[1]
    # cavities and the outside, joined over faces, stay as many
    assert (
        ndimage.label(np.pad(~line, 1, constant_values=True))[1]
        == ndimage.label(np.pad(~mask, 1, constant_values=True))[1]
    )
    assert (thin(line) == line).all()


def test_the_centre_line_of_a_plane_lies_in_it() -> None:
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[5:12, 3:35] = 1
    lines = measure(mask, mask, (1, 1), 1.0, measurements=["centre_lines"]).centre_lines
    assert lines is not None
    assert 20 < lines.reference == lines.reference_inside < 50


@given(masks())
@settings(max_examples=40, deadline=None)
def test_a_mask_is_perfect_against_itself_and_no_number_is_not_finite(pair: Any) -> None:
    image = image_for(pair[0])
    mask, other_mask = pair
    if mask.any():
        result = values(
            measure(mask, mask.copy(), (1, 2, 3), 1.0, measurements=MEASUREMENTS, image=image)
        )
        assert result == dict.fromkeys(NAMES, 0.0) | {
            "cldice": 1.0,
            "lesion_f1": 1.0,
            "panoptic_quality": 1.0,
        }
    for row in score(
        measure(mask, other_mask, (1, 2, 3), 1.0, measurements=MEASUREMENTS, image=image), NAMES
    ):
        assert (row.status == "ok") == (row.value is not None)
        assert row.value is None or (type(row.value) is float and np.isfinite(row.value))


@given(masks(), SPACINGS)
@settings(max_examples=40, deadline=None)
def test_the_masks_may_change_places(pair: Any, spacing: Any) -> None:
    image = image_for(pair[0])
    a, b = (
        values(measure(*each, spacing, 1.0, measurements=MEASUREMENTS, image=image))
        for each in (pair, pair[::-1])
    )
    swapped = {"false_lesions": "missed_lesions", "false_lesions_ml": "missed_lesions_ml"}
    swapped |= {value: key for key, value in swapped.items()}
    for name in NAMES:
        value = b[swapped.get(name, name)]
        sign = -1 if METRICS[name].signed else 1
        expected = None if value is None else sign * value
        assert near(a)[name] == expected, name


@given(masks(5), SPACINGS, st.tuples(*[st.integers(0, 4)] * 6))
@settings(max_examples=30, deadline=None)
def test_where_the_masks_lie_in_the_volume_does_not_matter(
    pair: Any, spacing: Any, margins: Any
) -> None:
    margin = list(zip(margins[:3], margins[3:], strict=True))
    names = [name for name in NAMES if METRICS[name].measurement != "uptake"]
    moved = [np.pad(mask, margin) for mask in pair]
    measurements: Any = ("lesions", "centre_lines")
    expected = values(measure(*pair, spacing, 1.0, measurements=measurements), names)
    assert values(measure(*moved, spacing, 1.0, measurements=measurements), names) == near(expected)


@given(masks(5), SPACINGS)
@settings(max_examples=25, deadline=None)
def test_axes_may_be_permuted_and_flipped_except_for_the_centre_line(
    pair: Any, spacing: Any
) -> None:
    image = image_for(pair[0])
    names = [name for name in NAMES if name != "cldice"]
    expected = near(
        values(measure(*pair, spacing, 1.0, measurements=("lesions", "uptake"), image=image), names)
    )
    for axes, flips in zip(
        permutations(range(3)), list(product((1, -1), repeat=3))[1:7], strict=True
    ):
        turn = tuple(slice(None, None, flip) for flip in flips)
        turned = [array.transpose(axes)[turn] for array in (*pair, image)]
        step = [spacing[axis] for axis in axes]
        result = measure(
            *turned[:2], step, 1.0, measurements=("lesions", "uptake"), image=turned[2]
        )
        assert values(result, names) == expected


@given(masks(5))
@settings(max_examples=25, deadline=None)
def test_volumes_scale_with_the_spacing_and_counts_do_not(pair: Any) -> None:
    a, b = (
        values(measure(*pair, step, 1.0, measurements=["lesions"]), NAMES)
        for step in ((1, 2, 3), (2, 4, 6))
    )
    for name in (name for name in NAMES if METRICS[name].measurement == "lesions"):
        factor = 8 if METRICS[name].unit == "ml" else 1
        assert near(b)[name] == (None if a[name] is None else a[name] * factor)


def test_label_maps_overlapping_masks_and_threads_give_the_same() -> None:
    rng = np.random.default_rng(4)
    reference, prediction = (
        ndimage.zoom(rng.integers(0, 4, (7, 6, 5)), 3, order=0).astype(np.uint8) for _ in range(2)
    )
    image = rng.gamma(1, 3, reference.shape).astype(np.float32)
    targets = {"a": (1,), "b": (2, 3), "c": (1, 3)}
    tolerances, measurements = dict.fromkeys(targets, 1.0), dict.fromkeys(targets, MEASUREMENTS)
    masks_of_targets = {
        name: np.isin(prediction, labels).astype(np.uint8) for name, labels in targets.items()
    }
    for threads in (1, 3):
        for order in "CF":
            arrays: Any = [
                np.asarray(array, order=order) for array in (reference, prediction, image)
            ]
            expected = {}
            for name, labels in targets.items():
                pair = [np.isin(array, labels) for array in arrays[:2]]
                expected[name] = measure(
                    *pair, (2, 3, 4), 1.0, measurements=MEASUREMENTS, image=arrays[2]
                )
            result = measure_labels(
                *arrays[:2],
                targets,
                (2, 3, 4),
                tolerances,
                threads,
                measurements=measurements,
                image=arrays[2],
            )
            assert result == expected
            each = {name: np.asarray(mask, order=order) for name, mask in masks_of_targets.items()}
            assert (
                measure_masks(
                    arrays[0],
                    targets,
                    each,
                    (2, 3, 4),
                    tolerances,
                    threads,
                    measurements=measurements,
                    image=arrays[2],
                )
                == expected
            )
