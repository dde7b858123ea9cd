"""Lesions counted one by one, on volumes small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.metrics import measure_lesions


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
    assert lesions.f1 == pytest.approx(1 / 3)
    assert lesions.panoptic_quality == pytest.approx(8 / 12 / 3)


def test_edges_join_and_corners_do_not() -> None:
    by_edge, by_corner = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    by_edge[0, 0, 0] = by_edge[0, 1, 1] = True
    by_corner[0, 0, 0] = by_corner[1, 1, 1] = True
    lesions = measure_lesions(by_edge, by_corner, (1, 1, 1))
    assert (lesions.reference, lesions.prediction) == (1, 2)
    assert measure_lesions(by_edge[0], by_edge[0], (1, 1)).reference == 1


def test_half_an_overlap_is_no_match() -> None:
    reference, prediction = np.zeros((6, 2)), np.zeros((6, 2))
    reference[:4], prediction[:2] = 1, 1
    assert measure_lesions(reference, prediction, (1, 1)).matched == 0


def test_nothing_at_all_has_no_quality() -> None:
    nothing = np.zeros((3, 3, 3), np.uint8)
    lesions = measure_lesions(nothing, nothing, (1, 1, 1))
    assert (lesions.f1, lesions.panoptic_quality, lesions.false_ml, lesions.missed_ml) == (None, None, 0.0, 0.0)


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure_lesions(np.zeros((3, 3, 3)), np.zeros((3, 3, 4)), (1, 1, 1))
