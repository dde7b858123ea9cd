"""Untrusted masks: each kind of fault has one status, and none of them does harm."""

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
def validator():
    with MaskValidator() as validator:
        yield validator


@pytest.fixture
def path(tmp_path):
    (tmp_path / "r1").mkdir()
    return tmp_path / "r1" / "liver.nii.gz"


def _mask():
    return (np.arange(120).reshape(6, 5, 4) % 3 == 0).astype(np.uint8)


def _nifti(array=None, affine=GRID.affine, **fields):
    array = _mask() if array is None else array
    image = nibabel.Nifti1Image(array, np.array(affine))
    body = bytearray(image.to_bytes())
    for position, (form, value) in fields.items():
        struct.pack_into(form, body, int(position[1:]), value)
    return bytes(body)


def test_a_valid_mask_is_returned_unchanged(validator, path):
    write_mask(path, _mask(), GRID)
    np.testing.assert_array_equal(validator.check(path, GRID, LIMIT).to_array(), _mask())
    for body in (
        _nifti(),
        gzip.compress(_nifti()),
        gzip.compress(_nifti()[:400]) + gzip.compress(_nifti()[400:]),
    ):
        path.write_bytes(body)
        np.testing.assert_array_equal(validator.check(path, GRID, LIMIT).to_array(), _mask())


def test_two_masks_of_2000_slices_pass_in_turn(validator, path):
    grid = make_grid((64, 64, 2000), np.eye(4))
    for fill in (0, 1):
        write_mask(path, np.full(grid.shape, fill, np.uint8), grid)
        assert validator.check(path, grid, 2**24).voxel_count == fill * 64 * 64 * 2000


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
def test_bad_files(validator, path, name):
    body, status = BAD[name]
    path.write_bytes(body)
    failure = validator.check(path, GRID, LIMIT)
    assert isinstance(failure, Failure), name
    assert failure.status == status, failure.detail
    assert failure.detail
    write_mask(path, _mask(), GRID)  # the next one is not affected
    assert not isinstance(validator.check(path, GRID, LIMIT), Failure)


def test_gzip_files_joined_by_the_hundred_thousand_are_refused(validator, path):
    path.write_bytes(gzip.compress(b"") * 200_000 + gzip.compress(_nifti()))
    failure = validator.check(path, GRID, 2**24)
    assert failure.status == "unsafe-file"
    assert "joined" in failure.detail


def test_a_mask_of_any_shape_comes_back_as_its_box(validator, path):
    rng = np.random.default_rng(3)
    grid = make_grid((70, 60, 50), [[0, -2, 0, 1], [1.5, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
    for low, high in (
        ((0, 0, 0), (70, 60, 50)),
        ((3, 4, 5), (9, 8, 7)),
        ((69, 59, 49), (70, 60, 50)),
        ((0, 0, 0), (0, 0, 0)),
    ):
        mask = np.zeros(grid.shape, np.uint8)
        window = tuple(slice(l, h) for l, h in zip(low, high, strict=True))
        mask[window] = rng.random(mask[window].shape) > 0.3
        for array in (mask, np.asfortranarray(mask)):
            for quick in (False, True):
                write_mask(path, array, grid, quick=quick)
                mask_read = validator.check(path, grid, 2**20)
                np.testing.assert_array_equal(mask_read.to_array(), mask)
                assert mask_read.voxel_count == mask.sum()
                np.testing.assert_array_equal(nibabel.load(path).get_fdata(), mask)
                assert gzip.decompress(path.read_bytes())[352:] == mask.tobytes(order="F")


@pytest.mark.parametrize("low", [(0, 0, 0), (100, 90, 20), (125, 117, 38)])
def test_masks_of_the_sdk_are_read_without_decompressing_their_zeros(validator, path, low):
    """More than a million zeros before, between or behind; truncated and too long files fail."""
    from zoo_sdk import Crop, nifti
    from zoo_sdk import write_mask as sdk_write_mask

    grid = make_grid((128, 120, 400), np.eye(4))
    inside = np.random.default_rng(5).random((3, 3, 2)) > 0.4
    for corner in (low, (low[0], low[1], low[2] + 350)):
        sdk_write_mask(path, Crop(inside, corner), grid)
        mask_read = validator.check(path, grid, 2**24)
        expected = np.zeros(grid.shape, np.uint8)
        expected[tuple(slice(c, c + n) for c, n in zip(corner, inside.shape, strict=True))] = inside
        np.testing.assert_array_equal(mask_read.to_array(), expected)
        body, zeros = path.read_bytes(), nifti.packed_zeros(nifti.MANY_ZEROS)
        assert body.count(zeros) >= 4
        path.write_bytes(body.replace(zeros, b"", 1))
        assert validator.check(path, grid, 2**24).status == "unsafe-file"
        for excess in (zeros, nifti.packed_zeros(1)):
            path.write_bytes(body + excess)
            assert validator.check(path, grid, 2**24).status == "too-large"
        path.write_bytes(body[:-1])
        assert validator.check(path, grid, 2**24).status == "unsafe-file"
    sdk_write_mask(path, np.zeros(grid.shape, bool), grid)
    assert validator.check(path, grid, 2**24).empty


def test_large_files_are_not_even_read(validator, path):
    with path.open("wb") as file:
        file.truncate(2**40)
    assert validator.check(path, GRID, LIMIT).status == "too-large"


def test_missing(validator, path):
    assert validator.check(path, GRID, LIMIT).status == "missing"
    assert validator.check(path.parent.with_name("r2") / path.name, GRID, LIMIT).status == "missing"


def test_links_pipes_and_folders_are_not_opened(validator, path, tmp_path):
    secret = tmp_path / "secret.nii.gz"
    write_mask(secret, _mask(), GRID)
    path.symlink_to(secret)
    refused = validator.check(path, GRID, LIMIT)
    assert refused.status == "unsafe-file"
    assert "a symbolic link; links are not followed" in refused.detail
    path.unlink()
    os.link(secret, path)
    assert validator.check(path, GRID, LIMIT).status == "unsafe-file"
    path.unlink()
    os.mkfifo(path)
    assert validator.check(path, GRID, LIMIT).status == "unsafe-file"
    path.unlink()
    path.mkdir()
    assert validator.check(path, GRID, LIMIT).status == "unsafe-file"
    elsewhere = tmp_path / "r9"
    elsewhere.symlink_to(tmp_path)
    refused = validator.check(elsewhere / "secret.nii.gz", GRID, LIMIT)
    assert refused.status == "unsafe-file"
    assert "r9: a symbolic link" in refused.detail


def test_affine_noise_of_a_float_is_tolerated(validator, path):
    write_volume(
        path, _mask(), make_grid(GRID.shape, np.array(GRID.affine) + np.eye(4, k=3) * 1e-4)
    )
    assert not isinstance(validator.check(path, GRID, LIMIT), Failure)


CONFINED = """
import ctypes, os, socket, sys, threading, time
from evaluator.volumes.validation_worker import confine

parent, folder = os.getppid(), sys.argv[1]
library = ctypes.CDLL(None, use_errno=True)

class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

def read_parent():
    taken = ctypes.create_string_buffer(8)
    here = Vector(ctypes.addressof(taken), 8)
    there = Vector(id(None), 8)
    if library.process_vm_readv(parent, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "")

ATTEMPTS = {
    "open": lambda: open("/etc/hostname"),
    "mkdir": lambda: os.mkdir(folder + "/x"),
    "kill": lambda: os.kill(parent, 0),
    "fork": os.fork,
    "socket": socket.socket,
    "read another process": read_parent,
    "unlink": lambda: os.unlink(folder),
    "rename": lambda: os.rename(folder, folder + "y"),
}

def attempt_all():
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except OSError as error:
            print(name, error.errno, flush=True)
        else:
            print(name, "allowed", flush=True)

later = threading.Event()
thread = threading.Thread(target=lambda: (later.wait(), attempt_all()))
thread.start()
confine()
attempt_all()
later.set()
thread.join()
"""


def test_the_worker_can_do_nothing_but_read_and_write_what_is_open(tmp_path):
    """As root, too, and in threads that began before."""
    import errno
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 16, done.stderr
    assert [line for line in lines if not line.endswith(f" {errno.EPERM}")] == []
    assert tmp_path.is_dir()
