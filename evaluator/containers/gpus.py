"""The machine's NVIDIA GPUs and MIG slices, and leases so that two runs do not share one."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import UserError
from evaluator.locks import file_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.types import ModelCard

logger = logging.getLogger(__name__)

#: a "24 GB" card shows a little less than 24 GiB
ROUNDED = 0.95
QUERY = "index,uuid,name,memory.total,driver_version"


#: a line of ``nvidia-smi -L`` for a GPU, and one for a MIG slice of the GPU above it
GPU_LINE = re.compile(r"^GPU (\d+): .*\(UUID: (GPU-\S+)\)")
SLICE_LINE = re.compile(r"^\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-\S+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, or one MIG slice of a GPU, as its driver describes it."""

    index: int
    uuid: str
    name: str
    #: bytes; 0 if the driver does not know (the GPU shares the machine's memory)
    memory: int
    driver: str
    #: number of the MIG slice of GPU ``index``; None: the complete GPU
    slice: int | None = None

    @property
    def label(self) -> str:
        """Its number in messages: "0", or "0:1" for a slice."""
        return str(self.index) if self.slice is None else f"{self.index}:{self.slice}"


def find_gpus() -> tuple[Gpu, ...]:
    """All GPUs that ``nvidia-smi`` shows; none without it.

    A GPU that is divided into MIG slices cannot be used as a whole, so its slices take its place.
    """
    gpus = parse_gpus(_nvidia_smi(f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"))
    return with_slices(gpus, _nvidia_smi("-L")) if gpus else ()


def _nvidia_smi(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        ended = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout


def with_slices(gpus: Sequence[Gpu], listing: str) -> tuple[Gpu, ...]:
    """The GPUs, with MIG slices in the place of those that are divided.

    Args:
        gpus: complete GPUs.
        listing: the output of ``nvidia-smi -L``.
    """
    slices: dict[str, list[Gpu]] = {}
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    parent: Gpu | None = None
    for line in listing.splitlines():
        if match := GPU_LINE.match(line):
            parent = by_uuid.get(match[2])
        elif parent is not None and (match := SLICE_LINE.match(line)):
            profile, number, uuid = match.groups()
            size = re.search(r"(\d+)gb", profile)
            part = replace(
                parent,
                uuid=uuid,
                name=f"{parent.name} MIG {profile}",
                memory=int(size[1]) * 2**30 if size else 0,
                slice=int(number),
            )
            slices.setdefault(parent.uuid, []).append(part)
    present: list[Gpu] = []
    for gpu in gpus:
        present += slices.get(gpu.uuid, [gpu])
    return tuple(present)


def parse_gpus(output: str) -> tuple[Gpu, ...]:
    """The GPUs in the output of ``nvidia-smi``, one a line; other lines are ignored."""
    gpus = []
    for line in output.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[0].isdigit():
            mebibytes = int(parts[3]) if parts[3].isdigit() else 0
            gpus.append(
                Gpu(
                    index=int(parts[0]),
                    uuid=parts[1],
                    name=parts[2],
                    memory=mebibytes * 2**20,
                    driver=parts[4],
                )
            )
    return tuple(gpus)


def visible_devices() -> str | None:
    """CUDA_VISIBLE_DEVICES of this process, by which Slurm and users choose GPUs; None if unset."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def restrict(present: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names.

    As CUDA reads it: indices or UUIDs, which may be cut short; what follows an unknown one is
    ignored.
    """
    if visible is None:
        return tuple(present)
    chosen: list[Gpu] = []
    for entry in visible.split(","):
        matches = find_named(present, int(entry) if entry.strip().isdigit() else entry.strip())
        if not matches:
            break
        chosen += [gpu for gpu in matches if gpu not in chosen]
    return tuple(chosen)


def find_named(present: Sequence[Gpu], name: int | str) -> list[Gpu]:
    """The GPUs of an index (all slices of one that is divided), or the one with this UUID.

    A UUID may be cut short as long as it names one GPU.
    """
    if isinstance(name, int):
        return [gpu for gpu in present if gpu.index == name]
    if not name.startswith(("GPU-", "MIG-")) or len(name) < 5:
        return []
    exact = [gpu for gpu in present if gpu.uuid == name]
    matches = exact or [gpu for gpu in present if gpu.uuid.startswith(name)]
    return matches if len(matches) == 1 else []


def choose_gpus(
    present: Sequence[Gpu],
    names: tuple[int | str, ...] | None,
    card: ModelCard,
    *,
    visible: str | None = None,
) -> tuple[Gpu, ...]:
    """The GPUs that a model is run on.

    A GPU chosen by its name is used whatever its memory, as a card's figure may be an estimate;
    a warning says so. If all are too small and the model can do without, none is used, and a
    warning says so.

    Args:
        present: the machine's GPUs.
        names: indices and UUIDs that the user allows; None: all, (): none.
        card: what the model needs.
        visible: value of CUDA_VISIBLE_DEVICES, which restricts "all"; None: it is not set.

    Raises:
        UserError: a named GPU is not there, or one is needed and missing, or all have less memory
            than the card says.
    """
    if names is not None:
        _named(present, names)  # also a model that uses no GPU gets none that is not here
    if card.gpu == "none" or names == ():
        if card.gpu == "required":
            raise UserError(f"model {card.name} needs a GPU, and --gpus says to use none")
        return ()
    chosen = restrict(present, visible) if names is None else _named(present, names)
    if names is None and len(chosen) < len(present):
        logger.info(
            "CUDA_VISIBLE_DEVICES=%s: %d of %d GPUs are used", visible, len(chosen), len(present)
        )
    if not chosen and card.gpu == "required":
        raise UserError(
            f"model {card.name} needs a GPU and this machine shows none; see: umd doctor"
        )
    if not chosen:
        logger.warning(
            f"model {card.name} is designed for a GPU and none was found; "
            "it will run on the CPU and may be very slow"
        )
    needed = (card.gpu_memory or 0) * ROUNDED
    fit = tuple(gpu for gpu in chosen if not gpu.memory or gpu.memory >= needed)
    small = [gpu for gpu in chosen if gpu not in fit]
    if not small:
        return fit
    sizes = [f"GPU {gpu.label} ({gpu.name}) has {gpu.memory / 2**30:.1f} GiB" for gpu in small]
    problem = (
        f"model {card.name} needs {(card.gpu_memory or 0) / 2**30:.1f} GiB of GPU memory by its "
        f"card; {', '.join(sizes)}"
    )
    if names is not None:
        logger.warning(f"{problem}: used as it was asked for, and may run out of memory")
        return chosen
    if not fit and card.gpu == "required":
        raise UserError(f"{problem}. Use a larger one, or choose it by its index or UUID to try")
    logger.warning(f"{problem}: {'not used' if fit else 'runs without a GPU'}")
    return fit


def _named(present: Sequence[Gpu], names: tuple[int | str, ...]) -> tuple[Gpu, ...]:
    """The GPUs of these names, in the machine's order; raises UserError for a name of none."""
    chosen: list[Gpu] = []
    for name in names:
        matches = find_named(present, name)
        if not matches:
            machine = [f"{gpu.label} = {gpu.uuid}" for gpu in present]
            raise UserError(
                f"GPUs {list(names)} were asked for; this machine has "
                f"{', '.join(machine) or 'none'}"
            )
        chosen += matches
    return tuple(gpu for gpu in present if gpu in chosen)


def is_other_gpu(expected: str, reported: str) -> bool:
    """Whether a container reports another GPU than the one that it was given.

    Args:
        expected: UUID of the GPU.
        reported: UUID that the model's program sees; empty: it does not tell.

    Returns:
        False for a MIG slice, too: programs report the UUID of its GPU or of the slice.
    """
    if not reported or not expected.startswith("GPU-"):
        return False
    return _plain(expected) != _plain(reported)


def _plain(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").replace("-", "")


def lease(uuid: str, holder: str) -> AbstractContextManager[None]:
    """Hold a GPU for this process, after any present holder; the lease ends with the process.

    Raises OSError where the cache's file system has no locks: two runs on one GPU would spoil each
    other's times and memory.
    """
    return file_lock(paths.cache() / "gpus" / f"{uuid}.lock", holder)
