"""The machine's NVIDIA GPUs, and leases so that two runs do not share one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator import places

if TYPE_CHECKING:
    from collections.abc import Iterator

QUERY = "index,uuid,name,memory.total,driver_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as its driver tells of it; memory in bytes."""

    index: int
    uuid: str
    name: str
    memory: int
    driver: str


def find_gpus() -> tuple[Gpu, ...]:
    """All GPUs that ``nvidia-smi`` shows; none without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(told)


def parse_gpus(told: str) -> tuple[Gpu, ...]:
    """``nvidia-smi``'s answer, a line a GPU; lines that do not tell of one are left out."""
    gpus = []
    for line in told.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[0].isdigit():
            mebibytes = int(parts[3]) if parts[3].isdigit() else 0
            gpus.append(
                Gpu(index=int(parts[0]), uuid=parts[1], name=parts[2], memory=mebibytes * 2**20, driver=parts[4])
            )
    return tuple(gpus)


@contextmanager
def lease(uuid: str, holder: str) -> Iterator[None]:
    """Hold a GPU for this process, after whoever holds it now; the system ends the lease when the process dies."""
    folder = places.cache() / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{uuid}.lock").open("a+") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(1)
        lock.truncate(0)
        lock.write(f"{holder}, process {os.getpid()}\n")
        lock.flush()
        yield
