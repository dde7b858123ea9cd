"""Prompts on real PET, CT and MR of the same subjects, each on its own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from evaluator.imaging.geometry import affine_of, make_grid, spacing
from evaluator.imaging.grid_masks import crop_mask
from evaluator.prompting.initial_prompts import simulate_prompts
from evaluator.types import PromptPlan

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {"CT": "CT_mask.nii.gz", "MR": "MR_T1_mask.nii.gz", "PT": "PET_mask.nii.gz"}


def read_lesion(path: Path):
    image = nibabel.load(path)
    return crop_mask(np.asarray(image.dataobj) > 0, make_grid(image.shape, image.affine))


@pytest.mark.shared
def test_the_seven_subjects_get_one_place_on_all_their_images(shared_data: Path) -> None:
    subjects = sorted((shared_data / "01_ibsi_sts_pet_ct_mr").glob("STS_*"))
    assert len(subjects) == 7
    for subject in subjects:
        masks = {modality: read_lesion(subject / name) for modality, name in NAMES.items()}
        plan = PromptPlan(kinds=("point",))
        drawn = simulate_prompts(
            masks, target="lesion", kind="point", plan=plan, seed=0, subject=subject.name
        )
        place = np.array(drawn["CT"].points[0].ras_mm)
        for modality, prompt in drawn.items():
            assert prompt.anchor == "CT"
            assert masks[modality].contains(prompt.points[0].index)
            half_a_voxel = np.linalg.norm(spacing(affine_of(masks[modality].grid))) / 2
            assert (
                np.linalg.norm(np.array(prompt.points[0].ras_mm) - place)
                <= half_a_voxel + prompt.displacement_mm
            )
