"""The machine's NVIDIA GPUs, and leases so that two runs do not share one."""

from __future__ import annotations

import logging
import shutil
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, as its driver describes it."""

    index: int
    uuid: str
    name: str
    #: bytes; 0 if the driver does not know (the GPU shares the machine's memory)
    memory: int
    driver: str


def find_gpus() -> tuple[Gpu, ...]:
    """All GPUs that ``nvidia-smi`` shows; none without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(ended.stdout)


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


def choose_gpus(
    present: Sequence[Gpu],
    indices: tuple[int, ...] | None,
    card: ModelCard,
) -> tuple[Gpu, ...]:
    """The GPUs that a model is run on.

    A GPU chosen by its index is used whatever its memory, as a card's figure may be an estimate;
    a warning says so. If all are too small and the model can do without, none is used, and a
    warning says so.

    Args:
        present: the machine's GPUs.
        indices: those that the user allows; None: all, (): none.
        card: what the model needs.

    Raises:
        UserError: a GPU is needed and missing, or all have less memory than the card says.
    """
    if card.gpu == "none" or indices == ():
        if card.gpu == "required":
            raise UserError(f"model {card.name} needs a GPU, and --gpus says to use none")
        return ()
    chosen = tuple(gpu for gpu in present if indices is None or gpu.index in indices)
    if indices is not None and len(chosen) < len(indices):
        raise UserError(
            f"GPUs {list(indices)} were asked for; this machine has "
            f"{[gpu.index for gpu in present]}"
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
    sizes = [f"GPU {gpu.index} ({gpu.name}) has {gpu.memory / 2**30:.1f} GiB" for gpu in small]
    problem = (
        f"model {card.name} needs {(card.gpu_memory or 0) / 2**30:.1f} GiB of GPU memory by its "
        f"card; {', '.join(sizes)}"
    )
    if indices is not None:
        logger.warning(f"{problem}: used as it was asked for, and may run out of memory")
        return chosen
    if not fit and card.gpu == "required":
        raise UserError(f"{problem}. Use a larger one, or choose it by its index to try")
    logger.warning(f"{problem}: {'not used' if fit else 'runs without a GPU'}")
    return fit


def lease(uuid: str, holder: str) -> AbstractContextManager[None]:
    """Hold a GPU for this process, after any present holder; the lease ends with the process.

    Raises OSError where the cache's file system has no locks: two runs on one GPU would spoil each
    other's times and memory.
    """
    return file_lock(paths.cache() / "gpus" / f"{uuid}.lock", holder)
