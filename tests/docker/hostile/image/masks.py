"""Attacks by what a mask holds, and by when it is written."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
from request import MIB

from zoo_sdk import nifti


def numbers(letter, kind, value):
    def act(request):
        data = np.full(request.shape, value, kind)
        data.flat[0] = 0
        request.write(data.tobytes(order="F"), letter=letter)
        request.say()

    return act


def header(change, packed=True):
    """A file whose header is changed."""

    def act(request):
        request.write()
        raw = bytearray(gzip.decompress(request.file.read_bytes()))
        change(raw)
        request.file.write_bytes(gzip.compress(bytes(raw), 1) if packed else bytes(raw))
        request.say()

    return act


def put(offset, form, *values):
    return lambda raw: struct.pack_into(form, raw, offset, *values)


def cut(raw):
    del raw[len(raw) // 2 :]


def gzip_bomb(request):
    """A small file that unpacks to 256 MB."""
    request.write()
    with gzip.GzipFile(request.file, "ab", 1) as file:
        for _ in range(64):
            file.write(bytes(4 * MIB))
    request.say()


def other_file(content):
    def act(request):
        request.folder.mkdir(exist_ok=True)
        request.file.write_bytes(content() if callable(content) else content)
        request.say()

    return act


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/umd-hostile-pickle",))


def pickled():
    buffer = io.BytesIO()
    array = np.empty(1, object)
    array[0] = Evil()
    np.savez(buffer, segs=array)
    return buffer.getvalue()


META_IMAGE = b"""ObjectType = Image
NDims = 3
DimSize = 14 12 10
ElementType = MET_UCHAR
ElementDataFile = /etc/passwd
"""


def write_after_reply(request):
    """Change the mask while it is read."""
    request.write()
    bad = gzip.compress(bytes(10 * MIB), 1)
    request.say()

    def race():
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                request.file.write_bytes(bad)
                request.write()

    threading.Thread(target=race, daemon=True).start()


def swap_for_link(request):
    """Exchange the mask for a link while it is looked at."""
    request.write()
    request.say()

    def race():
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                os.symlink("/etc/passwd", "/output/link")
                os.replace("/output/link", request.file)
                request.write()

    threading.Thread(target=race, daemon=True).start()


def change_earlier(request):
    """Change the answers of all earlier requests."""
    request.write()
    for path in Path("/output").rglob("*.nii.gz"):
        if path != request.file and path.is_file():
            ones = bytes([1]) * int(np.prod(request.shape))
            nifti.write(path, request.shape, request.affine, "B", ones)
    request.say()


def for_others(request):
    """Write answers into the folders of requests that are still to come."""
    request.write()
    for path in Path("/input/requests").glob("*.json"):
        place = Path("/output", path.stem)
        if path.stem != request.id:
            with contextlib.suppress(OSError):
                place.mkdir()
                (place / "reply.json").write_text(json.dumps({"id": path.stem}))
    request.say()


ATTACKS = {
    "nan": numbers("f", np.float32, np.nan),
    "infinite": numbers("f", np.float32, np.inf),
    "half": numbers("f", np.float32, 0.5),
    "two": numbers("B", np.uint8, 2),
    "negative": numbers("h", np.int16, -1),
    "wrong-shape": lambda request: (request.write(bytes(1000), (10, 10, 10)), request.say()),
    "wrong-affine": lambda request: (
        request.write(affine=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        request.say(),
    ),
    "huge-dims": header(put(40, "<4h", 3, 32767, 32767, 32767)),
    "seven-dims": header(put(40, "<8h", 7, 14, 12, 10, 1, 1, 1, 30000)),
    "negative-dims": header(put(40, "<4h", 3, -14, -12, 10)),
    "far-offset": header(put(108, "<f", 1e30)),
    "nan-offset": header(put(108, "<f", float("nan"))),
    "slope": header(put(112, "<2f", 0.0001, 3.0)),
    "other-type": header(put(70, "<2h", 1792, 128)),
    "pair-magic": header(put(344, "4s", b"ni1\0")),
    "not-packed": header(lambda raw: None, packed=False),
    "cut-short": header(cut),
    "gzip-bomb": gzip_bomb,
    "garbage": other_file(lambda: os.urandom(5000)),
    "empty-file": other_file(b""),
    "pickle": other_file(pickled),
    "meta-image": other_file(META_IMAGE),
    "write-after-reply": write_after_reply,
    "swap-for-link": swap_for_link,
    "change-earlier": change_earlier,
    "for-others": for_others,
}
