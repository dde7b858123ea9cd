"""What costs a reader of npz files more than the file's size is refused before it is expanded."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.volumes.npz_labels import inspect_npz, smallest_npz
from evaluator.volumes.refused_file import RefusedFileError

GRID = make_grid((6, 5, 4), np.eye(4))
HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 6), }"


def array_file(header=HEADER, data=b""):
    """An npy file with this header; numpy pads it with spaces to a line end."""
    text = header.encode() + b" " * (64 - (len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def zipped(content, compression=zipfile.ZIP_STORED, names=("segs.npy",)):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", compression) as archive:
        for name in names:
            archive.writestr(name, content)
    return body.getvalue()


def refused(body):
    with pytest.raises(RefusedFileError) as raised:
        inspect_npz(body, GRID, "segs", 1)
    assert len(raised.value.detail) <= 300
    return raised.value


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_numpy_writes_is_read(compression):
    low, voxels = inspect_npz(
        zipped(array_file(data=bytes([1] * 120)), compression), GRID, "segs", 1
    )
    assert (low, voxels.shape) == ([0, 0, 0], (6, 5, 4))
    assert inspect_npz(smallest_npz("segs"), make_grid((1, 1, 1), np.eye(4)), "segs", 1)[1].all()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_before_a_block_is_expanded(compression):
    bomb = zipped(array_file(data=bytes(2**22)), compression)
    assert len(bomb) < 2**15
    tracemalloc.start()
    failure = refused(bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert failure.status == "unsafe-file"
    assert "which numpy does not write" in failure.detail
    assert most < 2**20


@pytest.mark.parametrize("large", [False, True], ids=["zip", "zip64"])
def test_a_list_of_many_members_is_refused_before_it_is_read(large):
    """The list's size stands in the last record, or in the record before it."""
    size = 3 * 2**20
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 100 if large else size, 0, 0)
    if large:
        record = (b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, 0)
        end = (
            struct.pack("<4sQ2H2L4Q", *record) + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + end
        )
    body = bytes(size) + end
    # without the check, zipfile reads all of the list
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(body))
    assert "more than 64 arrays" in refused(body).detail


def test_a_broken_record_of_a_large_file_does_not_hide_a_long_list():
    """zipfile takes the size of the last record where the record before it is none."""
    size = 3 * 2**20
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    body = bytes(size) + bytes(56) + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + end
    assert "more than 64 arrays" in refused(body).detail
    # zipfile of 2025-10 and later takes the record that the locator names
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, 0)
    small = record[:40] + bytes(16)
    body = record + small + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + end
    assert "more than 64 arrays" in refused(body).detail


def changed(**values):
    """A valid file with other bytes in its list of members."""
    body = bytearray(zipped(array_file(data=bytes(120))))
    positions = {"flags": 8, "member_offset": 42, "name": 46, "list_offset": 54 + 16}
    for field, content in values.items():
        start = body.find(b"PK\x01\x02") + positions[field]
        body[start : start + len(content)] = content
    return bytes(body)


def large_offset():
    """A file whose member begins at byte 2**64 - 1."""
    body = changed(member_offset=b"\xff" * 4)
    entry, end = body.find(b"PK\x01\x02"), body.rfind(b"PK\x05\x06")
    listed = bytearray(body[entry:end] + struct.pack("<HHQ", 1, 8, 2**64 - 1))
    listed[30:32] = struct.pack("<H", 12)
    return body[:entry] + listed + body[end:].replace(b"\x36\0\0\0", b"\x42\0\0\0", 1)


@pytest.mark.parametrize(
    "body",
    [
        changed(list_offset=struct.pack("<L", 2**32 - 16)),
        changed(flags=b"\0\x08", name=b"\xff"),
        large_offset(),
    ],
    ids=["negative", "name", "large"],
)
def test_a_list_that_cannot_be_followed_is_a_failure(body):
    """Each such file once ended the worker, which was started again."""
    failure = refused(body)
    assert failure.status == "unsafe-file"
    assert "the file cannot be read" in failure.detail


def test_reasons_stay_short():
    shape = HEADER.replace("(4, 5, 6)", "(" + "1," * 3000 + ")")
    assert refused(zipped(array_file(shape))).status == "wrong-shape"
    fields = ", ".join(f"('{n}', '|u1')" for n in range(100))
    typed = HEADER.replace("'|u1'", f"[{fields}]")
    assert refused(zipped(array_file(typed))).status == "wrong-values"


def test_many_members():
    names = [f"{number}.npy" for number in range(65)]
    assert "more than 64 arrays" in refused(zipped(b"", names=names)).detail


@pytest.mark.parametrize(
    "header",
    [
        "[" * 9000,
        "'''",
        HEADER[:-3],
        "(" * 150 + ")" * 150,
        "-" * 9000 + "1",
        "9" * 5000,
        "\x00",
        "1:",
        HEADER.replace("'|u1'", "()"),
    ],
    ids=["brackets", "quotes", "open", "nested", "signs", "digits", "zero", "syntax", "no-type"],
)
def test_a_header_that_cannot_be_parsed_is_a_failure(header):
    failure = refused(zipped(array_file(header)))
    assert failure.status == "unsafe-file"
    assert "the header of segs cannot be read" in failure.detail


@pytest.mark.parametrize("cut", [0, 3, 21, 22, 40])
def test_a_file_without_its_end_is_no_zip_file(cut):
    body = zipped(array_file(data=bytes(120)))
    assert refused(body[: len(body) - 22 + min(cut, 21)]).status == "unsafe-file"
