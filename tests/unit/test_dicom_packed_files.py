"""Compressed DICOM files are read within limits: a small file can hold very much."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from evaluator.datasets.dicom import packed_files
from evaluator.datasets.dicom.headers import read_header
from evaluator.datasets.dicom.reading import read_dataset
from evaluator.errors import VolumeError
from tests.dicom_studies import make_slice, save

KEY = bytes(32)


def packed(path, dataset, *, after=b""):
    """A compressed DICOM file; ``after`` follows its voxels."""
    save(dataset, path)
    path.write_bytes(gzip.compress(path.read_bytes() + after))
    return path


def test_a_header_is_read_without_unpacking_what_follows(tmp_path):
    bomb = packed(tmp_path / "a.dcm.gz", make_slice("CT", np.ones((4, 4)), (0, 0, 0)),
                  after=bytes(2**24))  # fmt: skip
    assert bomb.stat().st_size < 2**16
    tracemalloc.start()
    header = read_header(tmp_path, bomb.name, KEY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.problem == ""
    assert header.rows == 4
    assert peak < 2**22


def test_a_header_of_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_files, "MOST_HEADER_BYTES", 2**12)
    long = make_slice("CT", np.ones((4, 4)), (0, 0, 0))
    long.add_new((0x0009, 0x0010), "LO", "SYNTHETIC")
    long.add_new((0x0009, 0x1001), "OB", bytes(2**14))
    header = read_header(tmp_path, packed(tmp_path / "b.dcm.gz", long).name, KEY)
    assert header.problem == "its header has more than 0 MiB"


def test_a_compressed_file_that_was_cut_is_refused_when_its_voxels_are_read(tmp_path):
    path = packed(tmp_path / "c.dcm.gz", make_slice("CT", np.ones((64, 64)), (0, 0, 0)))
    dataset = read_dataset(path, pixels=True)
    assert (dataset.pixel_array == 1).all()
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(VolumeError, match="damaged or incomplete"):
        read_dataset(path, pixels=True)


def deflated(path):
    dataset = make_slice("CT", np.arange(16).reshape(4, 4), (0, 0, 0))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(dataset, path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_a_deflated_dataset_is_measured_before_it_is_unpacked(tmp_path, monkeypatch, compressed):
    path = deflated(tmp_path / "d.dcm")
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert (read_dataset(path, pixels=True).pixel_array.ravel() == np.arange(16)).all()
    monkeypatch.setattr(packed_files, "MOST_BYTES", 100)
    with pytest.raises(VolumeError, match="it holds more than 0 GiB when unpacked"):
        read_dataset(path)


def test_a_deflated_bomb_is_refused_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_files, "MOST_BYTES", 2**24)
    path = deflated(tmp_path / "e.dcm")
    head = path.read_bytes()
    start = packed_files._end_of_meta(head)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join([packer.compress(bytes(2**22)) for _ in range(8)]) + packer.flush()
    tracemalloc.start()
    with pytest.raises(VolumeError, match="GiB when unpacked"):
        packed_files.check_deflated(io.BytesIO(head[:start] + bomb), head[:start])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


def test_grey_scales_of_either_direction_are_read_and_colours_are_not(tmp_path):
    for name, word in {"1": "MONOCHROME1", "2": "MONOCHROME2", "3": "PALETTE COLOR"}.items():
        image = make_slice("CT", np.ones((4, 4)), (0, 0, 0), PhotometricInterpretation=word)
        save(image, tmp_path / name)
    problems = [read_header(tmp_path, name, KEY).problem for name in "123"]
    assert problems[:2] == ["", ""]
    assert "is not MONOCHROME1 or 2" in problems[2]
