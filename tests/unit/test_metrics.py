"""Properties that hold for every metric, whatever the masks."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import permutations, product
from math import hypot, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from evaluator.metrics.kernels.surface_area import surfel_areas
from evaluator.metrics.measurements import Measures
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import labels_in, measure, measure_labels, measure_masks

#: those of voxels and surfaces; the others are in test_optional_measurements.py
NAMES = tuple(name for name, metric in METRICS.items() if not metric.measurement)
MIRRORED = [name for name in NAMES if not METRICS[name].signed]
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.75, 1.0, 1.5, 3.0])] * 3)


def masks(side: int = 6) -> Any:
    shapes = npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=side)
    return shapes.flatmap(lambda shape: st.tuples(*[npst.arrays(np.bool_, shape)] * 2))


def values(measures: Measures, names: Any = NAMES) -> dict[str, float | None]:
    return {row.metric: row.value for row in score(measures, names)}


def alike(first: Measures, second: Measures, names: Any = NAMES) -> None:
    assert [row.status for row in score(first, names)] == [
        row.status for row in score(second, names)
    ]
    a, b = values(first, names), values(second, names)
    for name in names:
        if a[name] is not None:
            assert a[name] == pytest.approx(b[name], rel=1e-12, abs=1e-12), name


@given(masks(), SPACINGS)
@settings(max_examples=60, deadline=None)
def test_unsigned_metrics_do_not_care_which_mask_is_which(pair: Any, spacing: Any) -> None:
    first, second = pair
    names = [name for name in MIRRORED if name != "rve"]
    alike(measure(first, second, spacing, 1.0), measure(second, first, spacing, 1.0), names)


@given(masks(), SPACINGS)
@settings(max_examples=40, deadline=None)
def test_a_mask_is_perfect_against_itself(pair: Any, spacing: Any) -> None:
    scores = values(measure(pair[0], pair[0].copy(), spacing, 0.0))
    if pair[0].any():
        assert scores == dict.fromkeys(NAMES, 0.0) | {"dice": 1.0, "iou": 1.0, "nsd": 1.0}


@given(masks(), SPACINGS, st.tuples(*[st.integers(0, 5)] * 6))
@settings(max_examples=40, deadline=None)
def test_where_the_masks_lie_in_the_volume_does_not_matter(
    pair: Any, spacing: Any, margins: Any
) -> None:
    margin = list(zip(margins[:3], margins[3:], strict=True))
    moved = [np.pad(mask, margin) for mask in pair]
    alike(measure(*pair, spacing, 1.0), measure(*moved, spacing, 1.0))


@given(masks(), SPACINGS)
@settings(max_examples=40, deadline=None)
def test_millimetres_scale_with_the_spacing(pair: Any, spacing: Any) -> None:
    first = measure(*pair, spacing, 1.0)
    second = measure(*pair, tuple(2 * step for step in spacing), 2.0)
    powers = {"mm": 1, "ml": 3, "": 0}
    a, b = values(first), values(second)
    for name in NAMES:
        if a[name] is not None:
            assert b[name] == pytest.approx(a[name] * 2 ** powers[METRICS[name].unit], rel=1e-12), (
                name
            )


@given(masks(), SPACINGS)
@settings(max_examples=25, deadline=None)
def test_axes_may_be_permuted_and_flipped(pair: Any, spacing: Any) -> None:
    expected = measure(*pair, spacing, 1.6)
    for axes, flips in zip(
        permutations(range(3)), list(product((1, -1), repeat=3))[1:7], strict=True
    ):
        flip = tuple(slice(None, None, step) for step in flips)
        turned = [mask.transpose(axes)[flip] for mask in pair]
        alike(expected, measure(*turned, [spacing[axis] for axis in axes], 1.6))


@given(masks(), SPACINGS)
@settings(max_examples=25, deadline=None)
def test_more_tolerance_never_lowers_the_surface_dice(pair: Any, spacing: Any) -> None:
    scores = [
        values(measure(*pair, spacing, tolerance))["nsd"]
        for tolerance in (0.0, 0.5, 1.0, 2.0, 50.0)
    ]
    if None not in scores:
        assert scores == sorted(scores)
        assert scores[-1] == (1.0 if all(mask.any() for mask in pair) else 0.0)


@given(st.permutations(range(1, 6)), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_numbers_of_the_labels_do_not_matter(names: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = (rng.integers(0, 6, (5, 6, 7)).astype(np.uint8) for _ in range(2))
    table = np.array([0, *names], dtype=np.uint8)
    targets = {str(label): (label,) for label in range(1, 6)}
    renamed = {str(label): (names[label - 1],) for label in range(1, 6)}
    tolerances = dict.fromkeys(targets, 1.0)
    expected = measure_labels(reference, prediction, targets, (1, 1, 2), tolerances)
    assert (
        measure_labels(table[reference], table[prediction], renamed, (1, 1, 2), tolerances)
        == expected
    )
    assert (
        measure_labels(
            reference, table[prediction], targets, (1, 1, 2), tolerances, prediction_targets=renamed
        )
        == expected
    )
    masks_of_targets = {
        name: np.asarray(prediction == int(name), dtype=np.uint8) for name in targets
    }
    assert measure_masks(reference, targets, masks_of_targets, (1, 1, 2), tolerances) == expected


@given(masks(), SPACINGS, st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_threads_and_memory_order_change_nothing(pair: Any, spacing: Any, threads: int) -> None:
    expected = measure(*pair, spacing, 1.0)
    assert measure(*pair, spacing, 1.0, threads=threads) == expected
    alike(expected, measure(*(np.asfortranarray(mask) for mask in pair), spacing, 1.0))


def test_both_masks_empty_is_undefined_in_every_metric() -> None:
    nothing = np.zeros((4, 5, 6), dtype=np.uint8)
    rows = score(measure(nothing, nothing, (1, 1, 1), 1.0), NAMES)
    assert [(row.value, row.status) for row in rows] == [(None, "undefined")] * len(NAMES)


@pytest.mark.parametrize("empty", ["reference", "prediction"])
def test_one_mask_empty_has_no_overlap_and_no_distance(empty: str) -> None:
    nothing, something = np.zeros((4, 5, 6), dtype=np.uint8), np.ones((4, 5, 6), dtype=np.uint8)
    pair = (nothing, something) if empty == "reference" else (something, nothing)
    measures = measure(*pair, (1, 1, 1), 1.0)
    rows = {row.metric: (row.value, row.status) for row in score(measures, NAMES)}
    for name in ("dice", "iou", "nsd"):
        assert rows[name] == (0.0, "ok")
    for name in ("hd", "hd95", "assd", "masd"):
        assert rows[name] == (None, "one-empty")
    assert rows["rve"] == ((None, "one-empty") if empty == "reference" else (-1.0, "ok"))
    assert rows["volume_error_ml"] == (0.12 if empty == "reference" else -0.12, "ok")


def test_what_has_no_meaning_is_not_applicable() -> None:
    mask = np.ones((2, 2, 2), dtype=np.uint8)
    rows = [
        row
        for row in score(measure(mask, mask, (1, 1, 1), 1.0), tuple(METRICS))
        if row.metric not in NAMES
    ]
    assert {(row.value, row.status) for row in rows} == {(None, "not-applicable")}


@given(masks(3), SPACINGS)
@settings(max_examples=60, deadline=None)
def test_a_value_is_finite_and_there_exactly_where_the_status_is_ok(
    pair: Any, spacing: Any
) -> None:
    for row in score(measure(*pair, spacing, 1.0), tuple(METRICS)):
        assert (row.status == "ok") == (row.value is not None)
        assert row.value is None or (type(row.value) is float and isfinite(row.value))


def test_a_code_and_its_complement_have_the_same_area() -> None:
    areas = surfel_areas((0.7, 1.3, 2.1))
    np.testing.assert_array_equal(areas, areas[::-1])
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()


def test_the_area_of_a_block_is_that_of_its_faces_edges_and_corners() -> None:
    a, b, c = spacing = (4.0, 1.0, 0.5)
    block = np.zeros((6, 9, 12), dtype=np.uint8)
    block[1:5, 2:9, 0:10] = 1
    faces = 2 * (6 * 9 * b * c + 3 * 9 * a * c + 3 * 6 * a * b)
    edges = 4 / 2 * (3 * hypot(a * c, a * b) + 6 * hypot(b * c, a * b) + 9 * hypot(b * c, a * c))
    corners = hypot(b * c, a * c, a * b)
    assert measure(block, block, spacing, 0.0).reference.area == pytest.approx(
        faces + edges + corners, rel=1e-14
    )


@pytest.mark.parametrize(
    ("reference", "prediction", "spacing", "error"),
    [
        (np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 4), np.uint8), (1, 1, 1), ValueError),
        (np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.float32), (1, 1, 1), TypeError),
        (np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8), (1, 1), ValueError),
        (np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8), (1, 0, 1), ValueError),
        (np.zeros(3, np.uint8), np.zeros(3, np.uint8), (1,), ValueError),
    ],
)
def test_what_cannot_be_measured_is_refused(
    reference: Any, prediction: Any, spacing: Any, error: Any
) -> None:
    with pytest.raises(error):
        measure(reference, prediction, spacing, 1.0)


def test_volumes_without_a_voxel_are_empty() -> None:
    nothing = np.zeros((0, 4, 4), dtype=np.uint8)
    assert measure(nothing, nothing, (1, 1, 1), 1.0).both_empty


def test_arrays_may_be_read_only_views_and_of_mixed_types() -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 2, (8, 9, 10)).astype(np.uint8)
    prediction = rng.integers(0, 2, (16, 9, 10)).astype(np.int64)[::2]
    for array in (reference, prediction):
        array.flags.writeable = False
    expected = measure(reference.copy(), prediction.astype(np.uint8), (1, 2, 3), 1.0)
    assert measure(reference, prediction, (1, 2, 3), 1.0) == expected


@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.int16, np.int64]), (3, 4, 11), elements=st.integers(0, 100)
    )
)
@settings(max_examples=40, deadline=None)
def test_the_labels_of_a_map_are_its_values_but_for_0(volume: Any) -> None:
    expected = sorted({int(value) for value in volume.flat} - {0})
    assert (
        labels_in(volume)
        == labels_in(np.asfortranarray(volume))
        == labels_in(volume[::-1])
        == expected
    )


def test_every_protocol_names_metrics_of_the_table() -> None:
    for path in sorted(Path("manifests/protocols").glob("*.toml")):
        assert set(tomllib.loads(path.read_text())["metrics"]) <= set(METRICS), path.name


def test_the_table_describes_each_metric() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title and metric.definition and metric.source
        assert replace(metric) == metric
