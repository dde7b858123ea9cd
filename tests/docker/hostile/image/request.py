"""A request, the usual ways to answer it, and calls of the system."""

from __future__ import annotations

import ctypes
import errno
import json
import os
from pathlib import Path

import numpy as np

from zoo_sdk import nifti

#: what no container may see, written backwards, so that this file does not hold it
CANARY = "f7a1c3-yranac-dmu"[::-1].encode()
MIB = 2**20
REPLIES = os.fdopen(os.dup(1), "wb")
LIBC = ctypes.CDLL(None, use_errno=True)


class Request:
    """A request, and the usual ways to answer it."""

    def __init__(self, name):
        self.id = name
        body = json.loads(Path("/input/requests", name + ".json").read_text())
        (self.target,) = body["targets"]
        self.attack = self.target["name"]
        self.shape = tuple(body["grid"]["shape"])
        self.affine = body["grid"]["affine"]
        self.folder = Path("/output", name)
        self.file = self.folder / (self.attack + ".nii.gz")

    def mask(self):
        mask = np.zeros(self.shape, np.uint8)
        for point in self.target["points"]:
            i, j, k = point["index"]
            mask[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2] = 1
        return mask

    def write(self, data=None, shape=None, affine=None, letter="B"):
        """Write the mask's file: any numbers of any type on any grid."""
        self.folder.mkdir(exist_ok=True)
        data = self.mask().tobytes(order="F") if data is None else data
        nifti.write(self.file, shape or self.shape, affine or self.affine, letter, data)

    def body(self, **more):
        return {"id": self.id, "targets": {self.attack: {"status": "ok"}}, **more}

    def say(self, **more):
        say(json.dumps(self.body(**more)))


def say(line):
    """Write a line to the evaluator, and for a batch, the file."""
    REPLIES.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
    REPLIES.flush()


def attempt(action):
    """What came of it: "done", or the system's reason why not."""
    try:
        result = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except Exception as error:
        return type(error).__name__
    return "done" if result is None else str(result)[:200]


def call(number, *arguments):
    """A system call by its number on x86-64."""
    ctypes.set_errno(0)
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
