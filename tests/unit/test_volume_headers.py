"""Headers in all their forms: one reader, and the same millimetres in every format."""

from __future__ import annotations

import bz2
import gzip
import zlib
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, displacement_mm, make_grid
from evaluator.scoring.pair_volumes import read_pair
from evaluator.types import Failure
from evaluator.volumes import (
    LabelFile,
    MaskValidator,
    read_grid,
    read_image,
    read_labels,
    stage_image,
)
from evaluator.volumes.length_units import length_mm

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 4, 5)
VOXELS = (np.arange(60, dtype=np.uint8) % 7).reshape(SHAPE, order="F")
RAW = VOXELS.tobytes(order="F")
#: oblique, flipped, anisotropic; millimetres
AFFINE = np.array([[0, -1.4, 0, 12], [-1.1, 0, 0, -40], [0, 0, 2.9, 7], [0, 0, 0, 1.0]])
GRID = make_grid(SHAPE, AFFINE)


def both_readers(path: Path) -> tuple[Any, Any]:
    """The labels and the grid, which are the same to ``umd score``, ``run`` and ``verify``."""
    file = LabelFile(path, untrusted=True)
    labels, grid = read_labels(path)
    assert grid == file.grid == read_grid(path)
    np.testing.assert_array_equal(file.read().reshape(labels.shape, order="F"), labels)
    np.testing.assert_allclose(read_image(path)[0], labels, atol=0.01)
    return labels, grid


def refused_by_both(path: Path, words: str) -> None:
    for read in (lambda: LabelFile(path, untrusted=True).read(), lambda: read_labels(path)):
        with pytest.raises(VolumeError, match=words) as raised:
            read()
        assert path.name in str(raised.value)


def nifti(path: Path, affine: Any = AFFINE, voxels: Any = VOXELS, **fields: Any) -> Path:
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def scaled(factor: float) -> Any:
    affine = AFFINE.copy()
    affine[:3] *= factor
    return affine


@pytest.mark.parametrize(
    ("code", "millimetre"),
    [(0, 1.0), (1, 1e-3), (2, 1.0), (3, 1000.0), (2 | 8, 1.0), (3 | 16, 1000.0)],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_units_of_space_in_nifti(tmp_path: Path, name: str, code: int, millimetre: float) -> None:
    path = nifti(tmp_path / name, scaled(millimetre), xyzt_units=code)
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-4
    # what a model gets states millimetres, so every reader agrees
    staged = stage_image(path, tmp_path / "staged.nii.gz")
    image = SimpleITK.ReadImage(str(tmp_path / "staged.nii.gz"))
    assert staged == grid
    np.testing.assert_allclose(image.GetSpacing(), (1.1, 1.4, 2.9), rtol=1e-5)


def test_itk_converts_the_units_of_nifti_alike(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", scaled(1000.0), xyzt_units=3)
    image = SimpleITK.ReadImage(str(path))
    steps = np.linalg.norm(affine_of(read_grid(path))[:3, :3], axis=0)
    np.testing.assert_allclose(image.GetSpacing(), steps, rtol=1e-5)


def test_an_unknown_unit_of_nifti_is_refused(tmp_path: Path) -> None:
    refused_by_both(nifti(tmp_path / "a.nii", xyzt_units=5), "unit of space")


@pytest.mark.parametrize("code", [1, 3])
def test_a_models_mask_may_have_another_unit(tmp_path: Path, code: int) -> None:
    factor = {1: 1e-3, 3: 1000.0}[code]
    (tmp_path / "answer").mkdir()
    voxels = (VOXELS == 1).astype(np.uint8)
    path = nifti(tmp_path / "answer" / "a.nii.gz", scaled(factor), voxels, xyzt_units=code)
    with MaskValidator() as validator:
        mask = validator.check(path, GRID, 2**20)
    assert not isinstance(mask, Failure)
    np.testing.assert_array_equal(mask.to_array(), voxels)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [("mm", 1), ('"mm"', 1), ("um", 1e-3), ("µm", 1e-3), ("microns", 1e-3), ("micrometer", 1e-3),
     ("m", 1000), ("meters", 1000), ("cm", 10), ("Millimetres", 1), ("", 1), ("?", 1)],
)  # fmt: skip
def test_words_for_units(unit: str, mm: float) -> None:
    assert length_mm(unit) == pytest.approx(mm)


@pytest.mark.parametrize("unit", ["pixel", "s", "inch", "mmm"])
def test_words_that_are_no_unit(unit: str) -> None:
    with pytest.raises(VolumeError, match="unit of space"):
        length_mm(unit)


def lps(affine: Any) -> Any:
    return np.diag([-1.0, -1, 1, 1]) @ affine


def nrrd_text(affine: Any, *fields: str, sizes: str = "3 4 5", none: str = "") -> str:
    matrix = lps(affine)
    vectors = " ".join(f"({x!r}, {y!r},{z!r})" for x, y, z in matrix[:3, :3].T.tolist())
    origin = ",".join(map(repr, matrix[:3, 3].tolist()))
    lines = [
        "NRRD0005", "# a comment", "type: uchar", f"dimension: {len(sizes.split())}",
        f"sizes: {sizes}", "space: left-posterior-superior",
        f"space directions: {vectors} {none}".rstrip(), f"space origin: ({origin})", *fields,
    ]  # fmt: skip
    if not any(field.startswith("encoding") for field in fields):
        lines.append("encoding: raw")
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize(
    ("unit", "factor"),
    [('"um"', 1000), ("microns", 1000), ('"m"', 1e-3), ('"cm"', 0.1), ('"mm"', 1)],
)
def test_units_of_space_in_nrrd(tmp_path: Path, unit: str, factor: float) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd_text(scaled(factor), f"space units: {unit} {unit} {unit}").encode() + RAW)
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-6


def test_an_unknown_unit_of_nrrd_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    text = nrrd_text(AFFINE, 'space units: "furlong" "furlong" "furlong"')
    path.write_bytes(text.encode() + RAW)
    refused_by_both(path, "unit of space")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (("byte skip: 0", "line skip: 0"), RAW),
        (("byte skip: 4",), b"junk" + RAW),
        (("byte skip: -1",), b"some junk" + RAW),
        (("line skip: 2",), b"one\ntwo\n" + RAW),
        (("line skip: 1", "byte skip: 2"), b"one\nab" + RAW),
        (("encoding: gzip",), gzip.compress(RAW, mtime=0)),
        (("encoding: gz", "byte skip: 4"), gzip.compress(b"junk" + RAW, mtime=0)),
        (("encoding: bzip2",), bz2.compress(RAW)),
        (("encoding: bz2", "byte skip: 4"), bz2.compress(b"junk" + RAW)),
        (("encoding: ascii",), " ".join(map(str, RAW)).encode()),
        (("encoding: text",), "\n".join(map(str, RAW)).encode() + b"\n"),
    ],
)
def test_where_the_voxels_of_nrrd_begin(tmp_path: Path, fields: Any, body: bytes) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd_text(AFFINE, *fields).encode() + body)
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-9
    if not {"encoding: bzip2", "encoding: bz2"} & set(fields):
        itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T
        np.testing.assert_array_equal(itk, VOXELS)


def test_a_skip_without_meaning_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd_text(AFFINE, "encoding: gzip", "byte skip: -1").encode())
    refused_by_both(path, "byte skip -1")


@pytest.mark.parametrize("first", [True, False])
def test_an_axis_of_one_layer(tmp_path: Path, first: bool) -> None:
    path = tmp_path / "a.nrrd"
    text = nrrd_text(AFFINE, sizes="1 3 4 5" if first else "3 4 5 1", none="none")
    if first:
        text = text.replace(" none", "").replace("directions:", "directions: none")
    path.write_bytes(text.encode() + RAW)
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-9


def test_two_layers_are_refused_for_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    text = nrrd_text(AFFINE, sizes="2 3 4 5", none="none")
    text = text.replace(" none", "").replace("directions:", "directions: none")
    path.write_bytes(text.encode() + RAW * 2)
    refused_by_both(path, "each voxel holds 2 numbers")


def test_a_space_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    text = nrrd_text(AFFINE).replace("left-posterior-superior", "scanner-xyz")
    path.write_bytes(text.encode() + RAW)
    refused_by_both(path, "its space is scanner-xyz")


def mha_text(affine: Any, *fields: str, kind: str = "MET_UCHAR", local: str = "LOCAL") -> str:
    matrix = lps(affine)
    steps = np.linalg.norm(matrix[:3, :3], axis=0)
    lines = [
        "ObjectType = Image", "NDims = 3", "DimSize = 3 4 5",
        "TransformMatrix = " + " ".join(map(repr, (matrix[:3, :3] / steps).T.ravel().tolist())),
        "Offset = " + " ".join(map(repr, matrix[:3, 3].tolist())),
        "ElementSpacing = " + " ".join(map(repr, steps.tolist())),
        *fields, f"ElementType = {kind}", f"ElementDataFile = {local}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("unit", "factor"), [("um", 1000), ("cm", 0.1), ("mm", 1), ("?", 1)])
def test_units_of_space_in_metaimage(tmp_path: Path, unit: str, factor: float) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha_text(scaled(factor), f"DistanceUnits = {unit}").encode() + RAW)
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-6


@pytest.mark.parametrize("kind", ["MET_UCHAR", "MET_SHORT", "MET_LONG", "MET_FLOAT"])
@pytest.mark.parametrize("divider", [" ", "\n"])
def test_metaimage_in_text(tmp_path: Path, kind: str, divider: str) -> None:
    path = tmp_path / "a.mha"
    text = mha_text(AFFINE, "BinaryData = False", kind=kind)
    path.write_bytes((text + divider.join(map(str, RAW))).encode())
    labels, grid = both_readers(path)
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-9


def test_metaimage_text_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    text = mha_text(AFFINE, "BinaryData = False")
    path.write_bytes((text + " ".join(map(str, RAW[:-1]))).encode())
    refused_by_both(path, "missing")
    path.write_bytes((text + " ".join(map(str, RAW + b"1"))).encode())
    refused_by_both(path, "more numbers")


@pytest.mark.parametrize(("kind", "letter"), [("MET_LONG", "<i4"), ("MET_ULONG", "<u4")])
def test_longs_of_metaimage_have_four_bytes(tmp_path: Path, kind: str, letter: str) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha_text(AFFINE, kind=kind).encode() + VOXELS.astype(letter).tobytes("F"))
    np.testing.assert_array_equal(both_readers(path)[0], VOXELS)
    itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T
    np.testing.assert_array_equal(itk, VOXELS)


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha_text(AFFINE, kind="MET_BOOL").encode() + RAW)
    refused_by_both(path, "its element type is MET_BOOL")


def test_a_fourth_axis_of_one_frame(tmp_path: Path) -> None:
    text = "ObjectType = Image\nNDims = 4\nDimSize = 3 4 5 1\nElementSpacing = 1 2 3 9\n"
    text += "Offset = 1 2 3 4\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + RAW)
    labels, grid = both_readers(tmp_path / "a.mha")
    np.testing.assert_array_equal(labels, VOXELS)
    np.testing.assert_allclose(np.abs(np.diag(affine_of(grid)))[:3], (1, 2, 3))
    four = nifti(tmp_path / "a.nii", voxels=VOXELS[..., None])
    labels, grid = both_readers(four)
    np.testing.assert_array_equal(labels, VOXELS)
    (tmp_path / "b.mha").write_bytes(text.replace("5 1", "5 2").encode() + RAW * 2)
    refused_by_both(tmp_path / "b.mha", "three dimensions")


def test_headers_with_voxels_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(RAW)
    (tmp_path / "b.raw").write_bytes(b"junk" + RAW)
    (tmp_path / "c.zraw").write_bytes(zlib.compress(RAW))
    cases = {
        "a.mhd": mha_text(AFFINE, "DistanceUnits = mm", local="a.raw"),
        "b.mhd": mha_text(AFFINE, "HeaderSize = -1", local="b.raw"),
        "c.mhd": mha_text(AFFINE, "CompressedData = True", local="c.zraw"),
        "a.nhdr": nrrd_text(AFFINE, "data file: a.raw"),
        "b.nhdr": nrrd_text(AFFINE, "data file: b.raw", "byte skip: 4").rstrip("\n"),
    }
    for name, text in cases.items():
        (tmp_path / name).write_text(text)
        labels, grid = read_labels(tmp_path / name)
        np.testing.assert_array_equal(labels, VOXELS, err_msg=name)
        assert displacement_mm(grid, GRID) < 1e-9
        with pytest.raises(VolumeError, match="header and voxels in one file"):
            LabelFile(tmp_path / name, untrusted=True)
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "a.mhd")), str(tmp_path / "d.mhd"))
    np.testing.assert_array_equal(read_labels(tmp_path / "d.mhd")[0], VOXELS)


def test_a_list_of_slices_is_read_by_itk(tmp_path: Path) -> None:
    names = [f"slice{k}.raw" for k in range(SHAPE[2])]
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(VOXELS[:, :, k].tobytes("F"))
    text = mha_text(scaled(1000.0), "DistanceUnits = um", local="LIST") + "\n".join(names) + "\n"
    (tmp_path / "a.mhd").write_text(text)
    labels, grid = read_labels(tmp_path / "a.mhd")
    np.testing.assert_array_equal(labels, VOXELS)
    assert displacement_mm(grid, GRID) < 1e-6


@pytest.mark.parametrize("name", ["A.NII", "a.NII.GZ", "a.Nii.gz", "A.MHA", "A.NRRD"])
def test_suffixes_in_capitals(tmp_path: Path, name: str) -> None:
    plain = tmp_path / name.lower()
    if ".nii" in plain.name:
        nifti(plain)
    else:
        text = mha_text(AFFINE) if plain.suffix == ".mha" else nrrd_text(AFFINE)
        plain.write_bytes(text.encode() + RAW)
    path = plain.rename(tmp_path / name)
    np.testing.assert_array_equal(both_readers(path)[0], VOXELS)


def test_a_handedness_of_zero_means_one(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.set_qform(AFFINE, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    expected = read_grid(tmp_path / "a.nii")
    body = bytearray((tmp_path / "a.nii").read_bytes())
    body[76:80] = np.float32(0).tobytes()
    (tmp_path / "b.nii").write_bytes(body)
    left_handed = np.linalg.det(AFFINE[:3, :3]) < 0
    grid = both_readers(tmp_path / "b.nii")[1]
    assert (displacement_mm(grid, expected) < 1e-4) == (not left_handed)
    np.testing.assert_allclose(affine_of(grid), nibabel.load(tmp_path / "b.nii").affine, atol=1e-5)


def test_codes_of_zero_are_named_where_grids_differ(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.diag([2.0, 2, 3, 1]))
    nibabel.save(image, tmp_path / "reference.nii.gz")
    image.set_qform(None, code=0)
    image.set_sform(None, code=0)
    nibabel.save(image, tmp_path / "prediction.nii.gz")
    files = (tmp_path / "reference.nii.gz", tmp_path / "prediction.nii.gz")
    with pytest.raises(VolumeError, match=r"prediction.nii.gz: qform_code and sform_code are 0"):
        read_pair(*files, resample=False, ignored=())


def test_a_header_extension_of_3_mib_is_read_and_a_larger_one_named(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", bytes(3 * 2**20)))
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(both_readers(tmp_path / "a.nii.gz")[0], VOXELS)
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(both_readers(tmp_path / "a.nii")[0], VOXELS)
    body = bytearray(nifti(tmp_path / "b.nii").read_bytes())
    body[108:112] = np.float32(2**27).tobytes()
    (tmp_path / "b.nii").write_bytes(body)
    refused_by_both(tmp_path / "b.nii", "header extension takes .* MiB; at most 64 MiB")


def test_the_content_decides_whether_a_file_is_packed(tmp_path: Path) -> None:
    body = nifti(tmp_path / "a.nii").read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(body)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(body, mtime=0))
    (tmp_path / "tail.nii.gz").write_bytes(gzip.compress(body, mtime=0) + bytes(100))
    for name in ("plain.nii.gz", "packed.nii", "tail.nii.gz"):
        np.testing.assert_array_equal(both_readers(tmp_path / name)[0], VOXELS)


def with_slope(path: Path, stored: Any, slope: float, intercept: float = 0.0) -> Path:
    body = bytearray(nifti(path, voxels=stored).read_bytes())
    body[112:120] = np.array([slope, intercept], np.float32).tobytes()
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("top", [3, 7, 30, 250])
def test_labels_saved_from_floats_are_whole(tmp_path: Path, top: int) -> None:
    labels = (VOXELS.astype(np.float64) * top / 6).round()
    image = nibabel.Nifti1Image(labels, AFFINE)
    image.set_data_dtype(np.uint16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert nibabel.load(tmp_path / "a.nii.gz").dataobj.slope != 1
    np.testing.assert_array_equal(both_readers(tmp_path / "a.nii.gz")[0], labels)


@pytest.mark.parametrize(
    ("number", "slope", "label"), [(30, 0.1, 3), (255, 1 / 255, 1), (7, 3.0, 21), (200, 0.05, 10)]
)
def test_a_slope_of_32_bits_does_not_make_labels_unwhole(
    tmp_path: Path, number: int, slope: float, label: int
) -> None:
    stored = np.where(VOXELS == 1, number, 0).astype(np.uint8)
    path = with_slope(tmp_path / "a.nii", stored, slope)
    np.testing.assert_array_equal(LabelFile(path, untrusted=True).read(), label * (VOXELS == 1))
    np.testing.assert_array_equal(read_labels(path)[0], label * (VOXELS == 1))


@pytest.mark.parametrize(("number", "slope"), [(254, 1 / 255), (29, 0.1), (1, 0.4), (3, 0.5)])
def test_a_scaled_soft_mask_is_refused_and_the_scale_named(
    tmp_path: Path, number: int, slope: float
) -> None:
    stored = np.where(VOXELS == 1, number, 0).astype(np.uint8)
    refused_by_both(with_slope(tmp_path / "a.nii", stored, slope), "whole numbers.*scl_slope")


@pytest.mark.parametrize(
    ("value", "label"), [(1 - 6e-8, 1), (2.9999999998, 3), (1.0000001, 1), (16777217.0, 16777217)]
)
def test_floats_next_to_a_whole_number(tmp_path: Path, value: float, label: int) -> None:
    path = nifti(tmp_path / "a.nii", voxels=np.where(VOXELS == 1, value, 0.0))
    np.testing.assert_array_equal(read_labels(path)[0], label * (VOXELS == 1))


@pytest.mark.parametrize("value", [0.9999, 0.5, np.nan, np.inf, 2.0**31 + 5])
def test_floats_that_are_no_labels(tmp_path: Path, value: float) -> None:
    path = nifti(tmp_path / "a.nii", voxels=np.where(VOXELS == 1, value, 0.0))
    refused_by_both(path, "whole numbers")


def test_labels_beyond_63_bits_are_refused_and_smaller_ones_read(tmp_path: Path) -> None:
    stored = np.where(VOXELS == 1, np.uint64(2**63 + 5), np.uint64(0))
    refused_by_both(
        nifti(tmp_path / "a.nii", voxels=stored), r"9223372036854775813; labels up to 2\^63"
    )
    stored = np.where(VOXELS == 1, np.uint64(2**63 - 1), np.uint64(0))
    path = nifti(tmp_path / "b.nii", voxels=stored)
    assert LabelFile(path, untrusted=True).read().max() == 2**63 - 1
