"""The scorer against numbers that others published or computed with their own programs."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest

from evaluator.metrics.measurements import Measures
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure, measure_labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def build(recipe: dict[str, Any]) -> NDArray[np.uint8]:
    mask = np.zeros(recipe["shape"], dtype=np.uint8)
    for step in recipe["set"]:
        value = step.get("value", 1)
        if step["op"] == "voxel":
            mask[tuple(step["at"])] = value
        elif step["op"] == "box":
            mask[tuple(slice(a, b) for a, b in zip(step["from"], step["to"], strict=True))] = value
        else:
            position = np.indices(mask.shape).T * np.array(step["spacing"]) - np.array(
                step["centre_mm"]
            )
            mask[(np.linalg.norm(position, axis=-1) <= step["radius_mm"]).T] = value
    return mask


#: MONAI measures from edge voxels, this project from corners: they differ by half a voxel where a
#: ball is not mirrored about a corner
UNLIKE = {("monai-hd-r20-r40", "hd_directed_pred_to_ref")}


def numbers(measures: Measures) -> dict[str, Any]:
    """Our figures under the names of the vectors; what has no number is None."""
    values = {row.metric: row.value for row in score(measures, ("dice", "nsd", "hd", "hd95"))}
    matched = (
        isfinite(measures.reference.area)
        and measures.reference_voxels
        and measures.prediction_voxels
    )
    surfaces = (measures.reference, measures.prediction)
    return {
        "dice": values["dice"],
        "hd": values["hd"],
        "dm_hd95": values["hd95"],
        "dm_surface_dice_1mm": values["nsd"],
        "dm_avg": [surface.mean if matched else None for surface in surfaces],
        "dm_overlap_1mm": [
            surface.area_within / surface.area if matched else None for surface in surfaces
        ],
        "hd_directed_pred_to_ref": measures.prediction.farthest if matched else None,
    }


def test_the_vectors_of_deepmind_and_monai(shared_data: Path) -> None:
    cases = json.loads((shared_data / "09_metric_vectors" / "vectors.json").read_text())["cases"]
    assert len(cases) == 10
    for case in cases:
        masks = [build(case[which]) for which in ("ref", "pred")]
        values = numbers(measure(*masks, case["spacing"], 1.0))
        within = {"abs": case.get("atol", 1e-12), "rel": case.get("rtol", 1e-12)}
        for name, expected in case["expect"].items():
            if (case["id"], name) in UNLIKE:
                continue
            # a peer's inf or nan is our status without a number
            pairs = (
                [(values[name], expected)]
                if not isinstance(expected, list)
                else list(zip(values[name], expected, strict=True))
            )
            for ours, theirs in pairs:
                value = None if isinstance(theirs, str) else pytest.approx(theirs, **within)
                assert ours == value, (case["id"], name)


FOLDERS = (
    "03_totalsegmentator",
    "04_autopet_psma_wholebody_masks",
    "06_panoptica_spine_pred_ref",
    "08_meshmetrics_pair",
)


def test_every_folder_with_expected_numbers_is_compared(shared_data: Path) -> None:
    assert {path.parent.name for path in shared_data.glob("*/expected.json")} == set(FOLDERS)


def is_comparable(name: str, value: float | None) -> bool:
    in_family = name.startswith("dm_") or name == "dice"
    return in_family and value is not None and isfinite(value)


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_pairs_score_as_deepminds_own_program_scored_them(
    shared_data: Path, folder: str
) -> None:
    pairs = json.loads((shared_data / folder / "expected.json").read_text())["pairs"]
    compared: set[tuple[str, str, str]] = set()
    for pair in pairs:
        images = [
            nibabel.load(shared_data / folder / pair[which])
            for which in ("reference", "prediction")
        ]
        volumes = [np.asanyarray(image.dataobj) for image in images]
        targets = {label: (int(label),) for label in pair["per_label"]}
        for tolerance in (1, 2, 4):
            measured = measure_labels(
                *volumes, targets, pair["spacing"], dict.fromkeys(targets, float(tolerance))
            )
            for label, expected in pair["per_label"].items():
                compared |= {
                    (pair["prediction"], label, name)
                    for name in compare(measured[label], expected, tolerance)
                }
    # every number of DeepMind's family in the folder was compared; where a peer has NaN or inf,
    # this project has a status without a number
    expected_keys = set()
    for pair in pairs:
        for label, expected in pair["per_label"].items():
            finite = {name for name, value in expected.items() if is_comparable(name, value)}
            expected_keys |= {(pair["prediction"], label, name) for name in finite}
    assert compared == expected_keys
    assert any(name.startswith("dm_") for _, _, name in expected_keys)


def compare(measures: Measures, expected: dict[str, float], tolerance: int) -> list[str]:
    assert measures.reference_voxels == expected["vox_ref"]
    assert measures.prediction_voxels == expected["vox_pred"]
    assert measures.shared_voxels == expected["tp"]
    values = {row.metric: row.value for row in score(measures, ("dice", "nsd", "hd", "hd95"))}
    ours = {"dice": values["dice"], "dm_hd100": values["hd"], "dm_hd95": values["hd95"]}
    ours[f"dm_surface_dice_{tolerance}mm"] = values["nsd"]
    if values["hd"] is not None:
        ours |= {
            "dm_avg_gt_to_pred": measures.reference.mean,
            "dm_avg_pred_to_gt": measures.prediction.mean,
        }
    names = [
        name for name in ours if isinstance(expected.get(name), float) and isfinite(expected[name])
    ]
    for name in names:
        assert ours[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-9), name
    if values["hd"] is None:  # a mask is empty: no finite distance may be expected of it
        assert not any(isfinite(value) for key, value in expected.items() if key.startswith("dm_"))
    return names
