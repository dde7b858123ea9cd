"""Files of strangers: each way to be wrong has one status, and none of them hurts."""

from __future__ import annotations

import gzip
import os
import struct

import nibabel
import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.types import Failure
from evaluator.volumes import MaskValidator, write_mask, write_volume

GRID = make_grid((6, 5, 4), [[0, -2, 0, 1], [1.5, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
LIMIT = 2**16


@pytest.fixture(scope="module")
def gate():
    with MaskValidator() as gate:
        yield gate


@pytest.fixture
def answer(tmp_path):
    (tmp_path / "r1").mkdir()
    return tmp_path / "r1" / "liver.nii.gz"


def _mask():
    return (np.arange(120).reshape(6, 5, 4) % 3 == 0).astype(np.uint8)


def _nifti(array=None, affine=GRID.affine, **fields):
    array = _mask() if array is None else array
    image = nibabel.Nifti1Image(array, np.array(affine))
    body = bytearray(image.to_bytes())
    for place, (form, value) in fields.items():
        struct.pack_into(form, body, int(place[1:]), value)
    return bytes(body)


def test_a_good_mask_comes_back_as_it_was(gate, answer):
    write_mask(answer, _mask(), GRID)
    np.testing.assert_array_equal(gate.check(answer, GRID, LIMIT).to_array(), _mask())
    for body in (
        _nifti(),
        gzip.compress(_nifti()),
        gzip.compress(_nifti()[:400]) + gzip.compress(_nifti()[400:]),
    ):
        answer.write_bytes(body)
        np.testing.assert_array_equal(gate.check(answer, GRID, LIMIT).to_array(), _mask())


def test_a_2000_slice_mask_passes_and_so_does_the_next(gate, answer):
    grid = make_grid((64, 64, 2000), np.eye(4))
    for fill in (0, 1):
        write_mask(answer, np.full(grid.shape, fill, np.uint8), grid)
        assert gate.check(answer, grid, 2**24).voxel_count == fill * 64 * 64 * 2000


BAD = {
    "shape": (_nifti(np.zeros((5, 6, 4), np.uint8)), "wrong-shape"),
    "4d": (_nifti(np.zeros((6, 5, 4, 2), np.uint8)), "wrong-shape"),
    "affine": (_nifti(affine=np.eye(4)), "wrong-affine"),
    "affine-by-a-hundredth": (
        _nifti(affine=np.array(GRID.affine) + np.eye(4, k=3) * 0.01),
        "wrong-affine",
    ),
    "affine-nan": (_nifti(b280=("<f", float("nan"))), "wrong-affine"),
    "labelmap": (_nifti(_mask() * 3), "wrong-values"),
    "float": (_nifti(_mask().astype(np.float32)), "wrong-values"),
    "nan": (_nifti(np.full((6, 5, 4), np.nan, np.float32)), "wrong-values"),
    "int16": (_nifti(_mask().astype(np.int16)), "wrong-values"),
    "scaled": (_nifti(b112=("<f", 255.0)), "wrong-values"),
    "shifted": (_nifti(b116=("<f", 1.0)), "wrong-values"),
    "offset-far": (_nifti(b108=("<f", 2e9)), "unsafe-file"),
    "offset-in-header": (_nifti(b108=("<f", 0.0)), "unsafe-file"),
    "dims-huge": (_nifti(b42=("<h", 32767)), "wrong-shape"),
    "dims-negative": (_nifti(b42=("<h", -6)), "wrong-shape"),
    "dim-count": (_nifti(b40=("<h", 99)), "unsafe-file"),
    "datatype-unknown": (_nifti(b70=("<h", 77)), "unsafe-file"),
    "pair-of-files": (_nifti(b344=("<4s", b"ni1\0")), "unsafe-file"),
    "cut": (_nifti()[:-7], "unsafe-file"),
    "cut-gzip": (gzip.compress(_nifti())[:-20], "unsafe-file"),
    "broken-gzip": (b"\x1f\x8b" + b"\xff" * 500, "unsafe-file"),
    "more": (_nifti() + b"\0", "too-large"),
    "bomb": (gzip.compress(_nifti() + bytes(2**25)), "too-large"),
    "text": (b"all good, trust me", "unsafe-file"),
    "empty": (b"", "unsafe-file"),
    "pickle": (b"\x80\x04cposix\nsystem\n.", "unsafe-file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(gate, answer, name):
    body, status = BAD[name]
    answer.write_bytes(body)
    failure = gate.check(answer, GRID, LIMIT)
    assert isinstance(failure, Failure), name
    assert failure.status == status, failure.detail
    assert failure.detail
    write_mask(answer, _mask(), GRID)  # and the next one is unharmed
    assert not isinstance(gate.check(answer, GRID, LIMIT), Failure)


def test_gzip_files_joined_by_the_hundred_thousand_are_refused(gate, answer):
    answer.write_bytes(gzip.compress(b"") * 200_000 + gzip.compress(_nifti()))
    failure = gate.check(answer, GRID, 2**24)
    assert failure.status == "unsafe-file"
    assert "joined" in failure.detail


def test_a_mask_of_any_shape_comes_back_as_its_box(gate, answer):
    chance = np.random.default_rng(3)
    grid = make_grid((70, 60, 50), [[0, -2, 0, 1], [1.5, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
    for low, high in (
        ((0, 0, 0), (70, 60, 50)),
        ((3, 4, 5), (9, 8, 7)),
        ((69, 59, 49), (70, 60, 50)),
        ((0, 0, 0), (0, 0, 0)),
    ):
        mask = np.zeros(grid.shape, np.uint8)
        window = tuple(slice(l, h) for l, h in zip(low, high, strict=True))
        mask[window] = chance.random(mask[window].shape) > 0.3
        for array in (mask, np.asfortranarray(mask)):
            for quick in (False, True):
                write_mask(answer, array, grid, quick=quick)
                found = gate.check(answer, grid, 2**20)
                np.testing.assert_array_equal(found.to_array(), mask)
                assert found.voxel_count == mask.sum()
                np.testing.assert_array_equal(nibabel.load(answer).get_fdata(), mask)
                assert gzip.decompress(answer.read_bytes())[352:] == mask.tobytes(order="F")


@pytest.mark.parametrize("low", [(0, 0, 0), (100, 90, 20), (125, 117, 38)])
def test_what_the_sdk_writes_comes_back_though_its_zeros_are_not_unpacked(gate, answer, low):
    """More than a million zeros before, between or behind; and files that end too soon or too late are still refused."""
    from zoo_sdk import Crop, nifti
    from zoo_sdk import write_mask as sdk_write_mask

    grid = make_grid((128, 120, 400), np.eye(4))
    inside = np.random.default_rng(5).random((3, 3, 2)) > 0.4
    for corner in (low, (low[0], low[1], low[2] + 350)):
        sdk_write_mask(answer, Crop(inside, corner), grid)
        found = gate.check(answer, grid, 2**24)
        whole = np.zeros(grid.shape, np.uint8)
        whole[tuple(slice(c, c + n) for c, n in zip(corner, inside.shape, strict=True))] = inside
        np.testing.assert_array_equal(found.to_array(), whole)
        body, zeros = answer.read_bytes(), nifti.packed_zeros(nifti.MANY_ZEROS)
        assert body.count(zeros) >= 4
        answer.write_bytes(body.replace(zeros, b"", 1))
        assert gate.check(answer, grid, 2**24).status == "unsafe-file"
        for more in (zeros, nifti.packed_zeros(1)):
            answer.write_bytes(body + more)
            assert gate.check(answer, grid, 2**24).status == "too-large"
        answer.write_bytes(body[:-1])
        assert gate.check(answer, grid, 2**24).status == "unsafe-file"
    sdk_write_mask(answer, np.zeros(grid.shape, bool), grid)
    assert gate.check(answer, grid, 2**24).empty


def test_large_files_are_not_even_read(gate, answer):
    with answer.open("wb") as file:
        file.truncate(2**40)
    assert gate.check(answer, GRID, LIMIT).status == "too-large"


def test_missing(gate, answer):
    assert gate.check(answer, GRID, LIMIT).status == "missing"
    assert gate.check(answer.parent.with_name("r2") / answer.name, GRID, LIMIT).status == "missing"


def test_links_pipes_and_folders_are_not_opened(gate, answer, tmp_path):
    secret = tmp_path / "secret.nii.gz"
    write_mask(secret, _mask(), GRID)
    answer.symlink_to(secret)
    assert gate.check(answer, GRID, LIMIT).status == "unsafe-file"
    answer.unlink()
    os.link(secret, answer)
    assert gate.check(answer, GRID, LIMIT).status == "unsafe-file"
    answer.unlink()
    os.mkfifo(answer)
    assert gate.check(answer, GRID, LIMIT).status == "unsafe-file"
    answer.unlink()
    answer.mkdir()
    assert gate.check(answer, GRID, LIMIT).status == "unsafe-file"
    elsewhere = tmp_path / "r9"
    elsewhere.symlink_to(tmp_path)
    assert gate.check(elsewhere / "secret.nii.gz", GRID, LIMIT).status == "unsafe-file"


def test_affine_noise_of_a_float_is_tolerated(gate, answer):
    write_volume(
        answer, _mask(), make_grid(GRID.shape, np.array(GRID.affine) + np.eye(4, k=3) * 1e-4)
    )
    assert not isinstance(gate.check(answer, GRID, LIMIT), Failure)


def test_the_child_can_open_nothing():
    import subprocess
    import sys

    code = (
        "from evaluator.volumes.validation_worker import confine; confine(); open('/etc/hostname')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Too many open files" in done.stderr
