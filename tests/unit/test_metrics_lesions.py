"""Lesions counted one by one, on volumes small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from evaluator.metrics.lesions import measure_lesions
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure, measure_labels

LESIONS = tuple(name for name, metric in METRICS.items() if metric.measurement == "lesions")


def test_lesions_are_matched_missed_and_false() -> None:
    reference, prediction = np.zeros((20, 10, 10), np.uint8), np.zeros((20, 10, 10), np.uint8)
    reference[1:3, 1:3, 1:3] = 1  # found: 8 voxels, 12 predicted
    prediction[1:4, 1:3, 1:3] = 1
    reference[8:12, 1:5, 1:2] = 1  # touched, but by too little for a match
    prediction[8:9, 1:2, 1:2] = 1
    reference[15, 5, 5] = 1  # missed
    prediction[18, 8, 7:10] = 1  # false
    lesions = measure_lesions(reference, prediction, (1.0, 2.0, 5.0))
    assert (lesions.reference, lesions.prediction, lesions.matched) == (3, 3, 1)
    assert (lesions.missed, lesions.false) == (1, 1)
    assert lesions.missed_ml == pytest.approx(0.01)
    assert lesions.false_ml == pytest.approx(0.03)
    measures = measure(reference, prediction, (1.0, 2.0, 5.0), 1.0, measurements=["lesions"])
    assert measures.lesions == lesions
    got = {row.metric: row.value for row in score(measures, LESIONS)}
    assert got == {
        "lesion_f1": pytest.approx(1 / 3),
        "panoptic_quality": pytest.approx(8 / 12 / 3),
        "false_lesions": 1,
        "missed_lesions": 1,
        "false_lesions_ml": pytest.approx(0.03),
        "missed_lesions_ml": pytest.approx(0.01),
    }


def test_edges_join_and_corners_do_not() -> None:
    by_edge, by_corner = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    by_edge[0, 0, 0] = by_edge[0, 1, 1] = True
    by_corner[0, 0, 0] = by_corner[1, 1, 1] = True
    lesions = measure_lesions(by_edge, by_corner, (1, 1, 1))
    assert (lesions.reference, lesions.prediction) == (1, 2)
    assert measure_lesions(by_edge[0], by_edge[0], (1, 1)).reference == 1


def test_half_an_overlap_is_no_match() -> None:
    reference, prediction = np.zeros((6, 2), np.uint8), np.zeros((6, 2), np.uint8)
    reference[:4], prediction[:2] = 1, 1
    assert measure_lesions(reference, prediction, (1, 1)).matched == 0


@pytest.mark.parametrize("empty", ["reference", "prediction", "both"])
def test_empty_masks(empty: str) -> None:
    nothing, something = np.zeros((3, 4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8)
    something[1, 1:3, 1] = 1
    pair = {
        "reference": (nothing, something),
        "prediction": (something, nothing),
        "both": (nothing, nothing),
    }[empty]
    rows = score(measure(*pair, (1, 1, 1), 1.0, measurements=["lesions"]), LESIONS)
    if empty == "both":
        assert {(row.value, row.status) for row in rows} == {(None, "undefined")}
    else:
        expected = [0, 0, 1, 0, 0.002, 0] if empty == "reference" else [0, 0, 0, 1, 0, 0.002]
        assert [row.value for row in rows] == expected


@pytest.mark.parametrize("seed", range(12))
def test_components_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 25, 2 + seed % 2))
    pair = [
        np.asarray(rng.random(shape) < rng.uniform(0.05, 0.5), np.uint8, order="FC"[seed % 2])
        for _ in range(2)
    ]
    joined = ndimage.generate_binary_structure(len(shape), 2)
    (ours, count), (theirs, predicted) = (ndimage.label(mask, joined) for mask in pair)
    ious = {}
    for a, b in {(int(a), int(b)) for a, b in zip(ours.flat, theirs.flat, strict=True) if a and b}:
        ious[a, b] = ((ours == a) & (theirs == b)).sum() / ((ours == a) | (theirs == b)).sum()
    lesions = measure_lesions(*pair, (1.0,) * len(shape))
    assert (lesions.reference, lesions.prediction) == (count, predicted)
    assert lesions.matched == sum(iou > 0.5 for iou in ious.values())
    assert lesions.matched_iou == pytest.approx(sum(iou for iou in ious.values() if iou > 0.5))
    assert lesions.missed == count - len({a for a, _ in ious})
    assert lesions.false == predicted - len({b for _, b in ious})
    matched = {a for a, _ in ious}
    missed = sum((ours == a).sum() for a in range(1, count + 1) if a not in matched)
    assert lesions.missed_ml == pytest.approx(missed / 1000)


def test_several_labels_that_make_one_target_are_one_component() -> None:
    labels = np.array([[[0, 3, 5, 0, 5]]], dtype=np.uint8)
    measured = measure_labels(
        labels, labels, {"a": (3, 5)}, (1, 1, 1), {"a": 1.0}, measurements={"a": ["lesions"]}
    )
    assert measured["a"].lesions is not None
    assert measured["a"].lesions.reference == 2


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        measure_lesions(np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 4), np.uint8), (1, 1, 1))
