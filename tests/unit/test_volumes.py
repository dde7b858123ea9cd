from __future__ import annotations

import gzip
import hashlib

import nibabel
import numpy as np
import pytest
import SimpleITK

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, difference, make_grid
from evaluator.volumes import (
    read_grid,
    read_image,
    read_labels,
    stage_image,
    write_mask,
    write_volume,
)

OBLIQUE = np.array(
    [[0, -1.4, 0.3, 12], [1.1, 0, 0.1, -40], [0.2, 0.3, 2.9, 7], [0, 0, 0, 1]], dtype=np.float64
)


def _image(seed=0, shape=(5, 7, 4), dtype=np.int16):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_reads_what_nibabel_writes(tmp_path, dtype, suffix):
    array = _image(dtype=dtype) if dtype != np.int8 else _image().astype(np.int8)
    path = tmp_path / f"a{suffix}"
    nibabel.save(nibabel.Nifti1Image(array, OBLIQUE, dtype=dtype), path)
    read, grid = read_image(path)
    np.testing.assert_array_equal(read, array)
    np.testing.assert_allclose(affine_of(grid), nibabel.load(path).affine)
    assert read_grid(path) == grid


def test_scale_and_byte_order_are_applied(tmp_path):
    image = nibabel.Nifti1Image(_image(), OBLIQUE, nibabel.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(
        read_image(tmp_path / "a.nii.gz")[0], nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    )
    stage_image(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    np.testing.assert_allclose(
        read_image(tmp_path / "b.nii.gz")[0], nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    )


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_itk_and_nibabel_see_one_world(tmp_path, suffix):
    array = _image()
    nibabel.save(nibabel.Nifti1Image(array, _orthonormal()), tmp_path / "a.nii.gz")
    SimpleITK.WriteImage(
        SimpleITK.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / f"b{suffix}")
    )
    read, grid = read_labels(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(read, array)
    assert difference(grid, read_grid(tmp_path / "a.nii.gz")) is None


def _orthonormal():
    Q, _ = np.linalg.qr(OBLIQUE[:3, :3])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = Q @ np.diag([1.1, 1.4, 2.9]), (12, -40, 7)
    return affine


def test_a_staged_image_holds_only_voxels_and_geometry(tmp_path):
    image = nibabel.Nifti1Image(_image(), OBLIQUE)
    image.header["descrip"] = b"Doe^Jane"
    image.header["intent_name"] = b"patient 7"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"ward 3, Doe^Jane"))
    nibabel.save(image, tmp_path / "a.nii.gz")
    grid = stage_image(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    raw = gzip.decompress((tmp_path / "b.nii.gz").read_bytes())
    assert b"Doe" not in raw
    assert b"patient" not in raw
    assert (tmp_path / "b.nii.gz").read_bytes()[
        3
    ] & 0x18 == 0  # gzip keeps neither name nor comment
    assert nibabel.load(tmp_path / "b.nii.gz").get_data_dtype() == np.int16
    assert grid == read_grid(tmp_path / "b.nii.gz")


def test_equal_masks_are_equal_bytes_and_the_hash_is_the_files(tmp_path):
    mask, grid = _image() > 100, make_grid((5, 7, 4), OBLIQUE)
    first = write_mask(tmp_path / "a.nii.gz", mask, grid)
    second = write_mask(tmp_path / "b.nii.gz", np.asfortranarray(mask.astype(np.uint8)), grid)
    assert first == second == hashlib.sha256((tmp_path / "a.nii.gz").read_bytes()).hexdigest()
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj), mask)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "bad",
    [np.full((5, 7, 4), 2, np.uint8), np.zeros((5, 7, 4), np.int16), np.ones((5, 4, 7), bool)],
)
def test_arrays_that_are_not_masks_are_refused(tmp_path, bad):
    with pytest.raises(VolumeError):
        write_mask(tmp_path / "a.nii.gz", bad, make_grid((5, 7, 4), OBLIQUE))
    assert list(tmp_path.iterdir()) == []


def test_float_labels_must_be_whole(tmp_path):
    grid = make_grid((5, 7, 4), OBLIQUE)
    write_volume(tmp_path / "a.nii.gz", _image().astype(np.float32), grid)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.nii.gz")[0], _image())
    write_volume(tmp_path / "b.nii.gz", _image().astype(np.float32) + np.float32(0.25), grid)
    with pytest.raises(VolumeError, match="whole numbers"):
        read_labels(tmp_path / "b.nii.gz")
    write_volume(tmp_path / "c.nii.gz", np.full((5, 7, 4), np.nan, np.float32), grid)
    with pytest.raises(VolumeError, match="whole numbers"):
        read_labels(tmp_path / "c.nii.gz")


def test_broken_files_are_named_in_the_error(tmp_path):
    grid = make_grid((5, 7, 4), OBLIQUE)
    write_volume(tmp_path / "a.nii.gz", _image(), grid)
    body = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(body[: len(body) - 40])
    (tmp_path / "text.nii.gz").write_text("not a volume")
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "short.nii").write_bytes(gzip.decompress(body)[:-10])
    (tmp_path / "a.mha").write_text("nothing")
    for name in (
        "cut.nii.gz",
        "text.nii.gz",
        "empty.nii",
        "short.nii",
        "a.mha",
        "none.nii.gz",
        "none.nrrd",
        "a.txt",
    ):
        with pytest.raises(VolumeError, match=name.split(".")[0]):
            read_labels(tmp_path / name)
