"""A worker that is killed, stopped or short of memory is the machine's fault, not the file's."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import struct
import subprocess
import sys
import threading

import nibabel
import numpy as np
import pytest

from evaluator.errors import HostError
from evaluator.imaging.geometry import make_grid
from evaluator.types import Status
from evaluator.volumes import MaskValidator, mask_validation, write_mask

GRID = make_grid((6, 5, 4), [[0, -2, 0, 1], [1.5, 0, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
LIMIT = 2**16
MASK = (np.arange(120).reshape(6, 5, 4) % 3 == 0).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "r1").mkdir()
    path = tmp_path / "r1" / "liver.nii.gz"
    write_mask(path, MASK, GRID)
    return path


def test_a_mask_is_read_although_the_worker_is_killed(path):
    with MaskValidator() as validator:
        validator.check(path, GRID, LIMIT)
        os.kill(validator._worker.pid, signal.SIGKILL)
        mask = validator.check(path, GRID, LIMIT)
    np.testing.assert_array_equal(mask.to_array(), MASK)


def test_a_mask_is_read_although_the_worker_is_stopped(path, monkeypatch, messages):
    with MaskValidator() as validator:
        validator.check(path, GRID, LIMIT)
        monkeypatch.setattr(mask_validation, "WAIT_SECONDS", 2.0)
        start = mask_validation._start

        def start_patiently():
            """A new worker needs seconds on a busy machine."""
            monkeypatch.setattr(mask_validation, "WAIT_SECONDS", 60.0)
            return start()

        monkeypatch.setattr(mask_validation, "_start", start_patiently)
        os.kill(validator._worker.pid, signal.SIGSTOP)
        mask = validator.check(path, GRID, LIMIT)
    np.testing.assert_array_equal(mask.to_array(), MASK)
    assert any("no reply in 2 s" in line for line in messages)


def test_a_worker_that_never_works_is_a_fault_of_the_machine(path, monkeypatch):
    command = [sys.executable, "-c", "raise SystemExit(3)"]

    def start():
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(mask_validation, "_start", start)
    with MaskValidator() as validator, pytest.raises(HostError, match="exit code 3"):
        validator.check(path, GRID, LIMIT)


def test_a_file_that_ends_the_worker_each_time_is_unsafe(path, monkeypatch):
    with MaskValidator() as validator:
        ask = validator._ask

        def ask_and_die(body, grid, npz=None):
            if grid == GRID:
                raise mask_validation._WorkerEndedError("exit code -11")
            return ask(body, grid, npz)

        monkeypatch.setattr(validator, "_ask", ask_and_die)
        failure = validator.check(path, GRID, LIMIT)
    assert failure.status == Status.UNSAFE_FILE
    assert "exit code -11" in failure.detail


def test_a_limited_address_space_is_used_or_named(path):
    """With ``ulimit -v`` below what the worker would take, masks are still read."""
    script = (
        "import sys; from pathlib import Path; from evaluator.volumes import MaskValidator;"
        "from evaluator.imaging.geometry import make_grid;"
        f"grid = make_grid({GRID.shape}, {GRID.affine});"
        "validator = MaskValidator().__enter__();"
        "print(validator.check(Path(sys.argv[1]), grid, 65536).voxel_count)"
    )
    limit = 8 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.stdout.strip() == str(int(MASK.sum())), done.stderr


def test_broken_compression_and_offsets_do_not_end_the_worker(path):
    body = bytearray(nibabel.Nifti1Image(MASK, np.array(GRID.affine)).to_bytes())
    packed = bytearray(gzip.compress(bytes(body)))
    wrong_sum = bytes(packed[:-8]) + bytes(4) + bytes(packed[-4:])
    broken = bytes(packed[:60]) + b"\xff" * 20 + bytes(packed[80:])
    files = [wrong_sum, broken]
    for value in (float("nan"), float("inf")):
        struct.pack_into("<f", body, 108, value)
        files.append(bytes(body))
    with MaskValidator() as validator:
        validator.check(path, GRID, LIMIT)
        worker = validator._worker.pid
        for content in files:
            path.write_bytes(content)
            failure = validator.check(path, GRID, LIMIT)
            assert failure.status == Status.UNSAFE_FILE
            assert "ended abnormally" not in failure.detail
        assert validator._worker.pid == worker
    assert threading.active_count() < 20
