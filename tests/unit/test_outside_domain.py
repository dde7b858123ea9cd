"""The command behind docs/outside-its-domain.md: volumes, bodies, and the pictures' outlines."""

from __future__ import annotations

import re

import nibabel
import numpy as np

from benchmarks import outside_domain
from evaluator.zoo.dockerfiles import module_folders
from tests.tiny import ROOT


def image(path, affine):
    """Air with a body of 6 x 10 x 8 voxels that is brighter at one corner."""
    values = np.zeros((12, 14, 16), np.float32)
    values[3:9, 2:12, 4:12] = 100
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return values


def test_a_row_has_the_volume_and_the_share_of_the_body(tmp_path):
    values = image(tmp_path / "a.nii.gz", np.diag([2.0, 3.0, 5.0, 1.0]))
    mask = np.zeros(values.shape, dtype=bool)
    # half of the body, 30 mm3 a voxel
    mask[3:6] = values[3:6] > 0
    row = outside_domain.row("a", "PT", "net", {"box": "top"}, mask, "", tmp_path / "a.nii.gz")
    assert row == "| a | PT | `net` | box=top | 7 ml | 50% of the body |"
    lost = outside_domain.row("a", "PT", "net", {}, None, "finds no brain", tmp_path / "a.nii.gz")
    assert lost == "| a | PT | `net` | - | no mask | finds no brain |"


def test_the_body_of_a_ct_is_above_air():
    values = np.array([-1000, -400, 0, 300])
    assert outside_domain.body_of(values, "CT").tolist() == [False, False, True, True]
    assert outside_domain.body_of(np.array([0, 1, 50, 100]), "MR").tolist()[-2:] == [True, True]


def test_the_front_shows_the_right_on_the_left_whatever_the_axes(tmp_path):
    shown = []
    for affine in (np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([-2.0, -2.0, 2.0, 1.0])):
        values = image(tmp_path / "a.nii.gz", affine)
        mask = np.zeros(values.shape, dtype=bool)
        # a voxel at the upper end of the patient's right
        mask[8 if affine[0, 0] > 0 else 3, 5, 11] = True
        picture = outside_domain.picture("a", "MR", tmp_path / "a.nii.gz", {"net": mask})
        shown.append(np.argwhere(picture.masks["net"])[0].tolist())
        row, column = shown[-1]
        rows, columns = np.nonzero(picture.body)
        assert (row, column) == (rows.min(), columns.min())
    assert shown == [[4, 3], [4, 3]]


def test_a_picture_is_bars_and_the_page_has_each_picture():
    mask = np.array([[True, False, True], [False, True, True]])
    path = outside_domain.path_of(mask, (2.0, 3.0), "#000000", 0.5)
    assert len(re.findall("M", path)) == 3
    page = outside_domain.PAGE.read_text()
    names = re.findall(r"figures/(outside-[\w-]+\.svg)", page)
    assert len(names) == 5
    assert all((ROOT / "docs/figures" / name).is_file() for name in names)


def test_folders_of_modules_are_those_of_the_dockerfile():
    text = (ROOT / "dockerfiles/nv-segment-ctmr.Dockerfile").read_text()
    assert module_folders(text) == ["vista3d", "nv-segment-ctmr"]
    text = (ROOT / "dockerfiles/mrsegmentator.Dockerfile").read_text()
    assert module_folders(text) == ["nnunet", "mrsegmentator"]
