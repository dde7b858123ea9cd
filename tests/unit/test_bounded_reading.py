"""Label files of unknown origin: read as the usual readers of their formats read them."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import displacement_mm
from evaluator.volumes import LabelFile, read_grid, read_labels
from tests.tiny import GRIDS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KINDS = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def labels_for(kind: str, shape: tuple[int, ...] = GRIDS["MR"].shape) -> NDArray[Any]:
    top = 2**20 if np.dtype(kind).itemsize > 2 else min(np.iinfo(kind).max, 30000)
    values = np.array([0, 0, 0, 1, 5, top])
    return values[np.random.default_rng(1).integers(0, 6, shape)].astype(kind)


def save(path: Path, array: NDArray[Any], grid: Any = GRIDS["MR"]) -> Path:
    """Write by the format's usual writer."""
    affine = np.array(grid.affine)
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)
        return path
    image = SimpleITK.GetImageFromArray(array.T)
    lps = (
        np.diag([-1.0, -1.0, 1.0])[: array.ndim, : array.ndim] @ affine[: array.ndim, : array.ndim]
    )
    steps = np.linalg.norm(lps, axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps / steps).ravel().tolist())
    image.SetOrigin((affine[: array.ndim, 3] * np.array([-1, -1, 1])[: array.ndim]).tolist())
    SimpleITK.WriteImage(image, str(path), useCompression="packed" in path.name)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.mha", "packed.mha", "a.nrrd", "packed.nrrd"]
)
def test_every_format_and_type_is_read_as_its_own_reader_does(
    tmp_path: Path, kind: str, name: str
) -> None:
    # the other formats cannot hold an oblique grid whose axes are not quite at right angles
    grid = GRIDS["MR"] if "nii" in name else GRIDS["PT"]
    expected = labels_for(kind, grid.shape)
    path = save(tmp_path / name, expected, grid)
    file = LabelFile(path, untrusted=True)
    assert displacement_mm(file.grid, read_grid(path)) < 1e-4
    labels = file.read()
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(labels, read_labels(path)[0])
    assert labels.dtype.kind in "iu"


def rotated_grid(shape: tuple[int, ...]) -> Any:
    from evaluator.imaging.geometry import make_grid

    a, b = np.cos(0.4), np.sin(0.4)
    turn = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, a, -b], [0, b, a]]
    )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (1.5, 2.0, 3.0), (-30, 12, 7)
    return make_grid(shape, affine)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_oblique_grids_of_other_formats(tmp_path: Path, name: str) -> None:
    grid = rotated_grid((5, 6, 7))
    path = save(tmp_path / name, labels_for("u1", grid.shape), grid)
    assert displacement_mm(LabelFile(path, untrusted=True).grid, grid) < 1e-4


@pytest.mark.parametrize(
    ("space", "signs"),
    [("right-anterior-superior", (1, 1)), ("LAS", (-1, 1)), ("left-posterior-superior", (-1, -1))],
)
def test_the_spaces_of_nrrd(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    text = "NRRD0004\n# a comment\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n"
    text += f"space: {space}\n"
    text += "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\nkey:=value\n\n"
    path = tmp_path / "a.nrrd"
    path.write_bytes(text.encode() + bytes(range(24)))
    file = LabelFile(path, untrusted=True)
    affine = np.array(file.grid.affine)
    np.testing.assert_allclose(np.diag(affine)[:3], (2 * signs[0], 3 * signs[1], 4))
    np.testing.assert_allclose(affine[:3, 3], (10 * signs[0], 20 * signs[1], 30))
    assert displacement_mm(file.grid, read_grid(path)) < 1e-6
    np.testing.assert_array_equal(file.read(), np.arange(24).reshape(2, 3, 4, order="F"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_images_of_two_axes(tmp_path: Path, name: str) -> None:
    expected = labels_for("u1", (7, 5))
    file = LabelFile(save(tmp_path / name, expected), untrusted=True)
    assert (file.grid.shape, file.read().shape) == ((7, 5, 1), (7, 5))
    np.testing.assert_array_equal(
        file.read() if name.endswith((".mha", ".nrrd")) else expected, expected
    )


def test_big_endian_nifti2_and_scales(tmp_path: Path) -> None:
    expected, affine = labels_for("i2"), np.array(GRIDS["MR"].affine)
    header = nibabel.Nifti2Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.save(
        nibabel.Nifti2Image(expected.astype(">i2"), affine, header=header), tmp_path / "a.nii.gz"
    )
    np.testing.assert_array_equal(LabelFile(tmp_path / "a.nii.gz", untrusted=True).read(), expected)
    image = nibabel.Nifti1Image(expected.astype(np.int16), affine)
    image.header.set_slope_inter(2.0, 0.0)
    nibabel.save(image, tmp_path / "b.nii")
    raw = bytearray((tmp_path / "b.nii").read_bytes())
    raw[112:116] = np.float32(2.0).tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    stored = np.frombuffer(raw[352:], "<i2").astype(int).reshape(expected.shape, order="F")
    np.testing.assert_array_equal(LabelFile(tmp_path / "b.nii", untrusted=True).read(), 2 * stored)


def refused(path: Path, words: str, *, untrusted: bool = True) -> None:
    with pytest.raises(VolumeError, match=words) as raised:
        LabelFile(path, untrusted=untrusted).read()
    assert path.name in str(raised.value)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    target = save(tmp_path / "real.nii.gz", labels_for("u1"))
    (tmp_path / "link.nii.gz").symlink_to(target)
    refused(tmp_path / "link.nii.gz", "a prediction must be a regular file without links")
    (tmp_path / "device.nii").symlink_to("/dev/zero")
    refused(tmp_path / "device.nii", "a regular file without links")
    os.mkfifo(tmp_path / "pipe.nii")
    refused(tmp_path / "pipe.nii", "not a regular file")
    refused(tmp_path / "pipe.nii", "not a regular file", untrusted=False)
    (tmp_path / "folder.nii").mkdir()
    refused(tmp_path / "folder.nii", "folder")
    os.link(target, tmp_path / "second.nii.gz")
    refused(tmp_path / "second.nii.gz", "second name")
    # the user's own references may be links
    np.testing.assert_array_equal(
        LabelFile(tmp_path / "link.nii.gz", untrusted=False).read(), labels_for("u1")
    )


def with_shape(path: Path, *shape: int) -> Path:
    raw = bytearray(path.read_bytes())
    raw[40:56] = np.array([len(shape), *shape, *[1] * (7 - len(shape))], "<i2").tobytes()
    path.write_bytes(raw)
    return path


def test_sizes_that_a_header_claims_allocate_nothing(tmp_path: Path) -> None:
    huge = with_shape(save(tmp_path / "huge.nii", labels_for("f8")), 32767, 32767, 32767)
    refused(huge, "would take")
    refused(
        with_shape(save(tmp_path / "short.nii", labels_for("u1")), 500, 500, 500),
        "bytes of voxels are missing",
    )
    refused(with_shape(save(tmp_path / "odd.nii", labels_for("u1")), -3, 5, 5), "cannot be read")
    refused(
        with_shape(save(tmp_path / "four.nii", labels_for("u1")), 13, 11, 3, 3), "three dimensions"
    )
    path = tmp_path / "a.mha"
    text = "ObjectType = Image\nNDims = 3\nDimSize = 900000 900000 900000\n"
    text += "ElementType = MET_DOUBLE\nElementSpacing = 1 1 1\n"
    path.write_text(text + "ElementDataFile = LOCAL\n")
    refused(path, "would take")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    raw = save(tmp_path / "a.nii", labels_for("u1")).read_bytes()
    packed = zlib.compressobj(9, wbits=31)
    parts = [packed.compress(raw)] + [packed.compress(bytes(2**20)) for _ in range(400)]
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(b"".join(parts) + packed.flush())
    refused(bomb, "more bytes than its header declares")
    mha = save(tmp_path / "packed.mha", np.zeros((20, 20, 20), np.uint8), GRIDS["PT"]).read_bytes()
    head = mha[: mha.index(b"LOCAL\n") + 6].replace(b"CompressedDataSize", b"Comment")
    (tmp_path / "bomb.mha").write_bytes(head + zlib.compress(bytes(2**28), 9))
    refused(tmp_path / "bomb.mha", "more bytes than its header declares")


def test_damage_is_reported(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (20, 20, 20)).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", noise, GRIDS["PT"])
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])
    refused(path, "missing|damaged")
    path.write_bytes(body[:-6] + bytes([body[-6] ^ 1]) + body[-5:])  # in the checksum
    refused(path, "damaged")
    path.write_bytes(b"not at all")
    refused(path, "not NIfTI")
    path.write_bytes(b"")
    refused(path, "the file is empty")
    path.write_bytes(gzip.compress(body[:3]))
    refused(path, "not NIfTI")
    mha = save(tmp_path / "packed.mha", noise, GRIDS["PT"])
    mha.write_bytes(mha.read_bytes()[:-10])
    refused(mha, "missing|damaged")


def test_joined_gzip_members_are_one_file(tmp_path: Path) -> None:
    expected = labels_for("u1")
    raw = save(tmp_path / "a.nii", expected).read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(gzip.compress(raw[i : i + 300]) for i in range(0, len(raw), 300)))
    np.testing.assert_array_equal(LabelFile(path, untrusted=True).read(), expected)


def test_voxels_that_are_not_labels(tmp_path: Path) -> None:
    affine = np.array(GRIDS["MR"].affine)
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, affine), tmp_path / "rgb.nii")
    refused(tmp_path / "rgb.nii", "not labels")
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((3, 3, 3), np.complex64), affine), tmp_path / "complex.nii"
    )
    refused(tmp_path / "complex.nii", "not labels")
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), 0.5), affine), tmp_path / "half.nii")
    refused(tmp_path / "half.nii", "whole numbers")
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), np.nan), affine), tmp_path / "nan.nii")
    refused(tmp_path / "nan.nii", "whole numbers")
    vector = SimpleITK.GetImageFromArray(np.zeros((3, 3, 3, 2), np.uint8), isVector=True)
    for name in ("vector.mha", "vector.nrrd"):
        SimpleITK.WriteImage(vector, str(tmp_path / name))
        refused(tmp_path / name, "one is expected|cannot be read")


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1000))
    mha = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\n"
    mha += "ElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
    (tmp_path / "a.mha").write_text(mha + f"ElementDataFile = {secret}\n")
    refused(tmp_path / "a.mha", "another file")
    nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "a.nrrd").write_text(nrrd + f"data file: {secret}\n\n")
    refused(tmp_path / "a.nrrd", "another file")
    (tmp_path / "b.mhd").write_text(mha + "ElementDataFile = secret\n")
    refused(tmp_path / "b.mhd", r"\.nii, \.nii\.gz, \.mha and \.nrrd")
    (tmp_path / "c.mha").write_text("A = " + "b" * 100000)
    refused(tmp_path / "c.mha", "no end")
    (tmp_path / "d.nrrd").write_text(nrrd.replace("raw", "hex") + "\n")
    refused(tmp_path / "d.nrrd", "raw and gzip")
    (tmp_path / "e.nrrd").write_text(nrrd.replace("uchar", "block") + "\n")
    refused(tmp_path / "e.nrrd", "cannot be read")


@pytest.mark.parametrize(("kind", "slope", "smallest"), [("u1", 2, "i2"), ("i2", 3, "i4")])
def test_scaled_labels_are_converted_by_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, slope: int, smallest: str
) -> None:
    from evaluator.volumes import label_values

    monkeypatch.setattr(label_values, "MOST_AT_ONCE", 100)
    stored = np.random.default_rng(2).integers(0, 90, GRIDS["MR"].shape).astype(kind)
    path = save(tmp_path / "a.nii", stored)
    body = bytearray(path.read_bytes())
    body[112:120] = np.array([slope, 0], "<f4").tobytes()
    path.write_bytes(body)
    labels = LabelFile(path, untrusted=True).read()
    np.testing.assert_array_equal(labels, stored.astype(np.int64) * slope)
    assert labels.dtype == smallest
    assert labels.flags.f_contiguous
