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
    """One GPU as its driver tells of it; memory in bytes, 0 where the driver does not tell (it shares the machine's)."""

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
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout
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
    found: Sequence[Gpu],
    wanted: tuple[int, ...] | None,
    card: ModelCard,
) -> tuple[Gpu, ...]:
    """Those of the machine's GPUs that a model is run on; ``wanted``: None for all, () for none, else indices.

    None for a model that has no use for one, and for one that can do without where all are too small (it is told). Those asked
    for by index are used whatever their memory, as a card's figure may be an estimate (it is told, too).
    Raises UserError where a GPU that is needed is not there, or all have less memory than the card says.
    """
    if card.gpu == "none" or wanted == ():
        if card.gpu == "required":
            raise UserError(f"model {card.name} needs a GPU, and the order says to use none")
        return ()
    chosen = tuple(gpu for gpu in found if wanted is None or gpu.index in wanted)
    if wanted is not None and len(chosen) < len(wanted):
        raise UserError(
            f"GPUs {list(wanted)} were asked for; this machine has {[gpu.index for gpu in found]}"
        )
    if not chosen and card.gpu == "required":
        raise UserError(
            f"model {card.name} needs a GPU and this machine shows none; see: umd doctor"
        )
    if not chosen:
        logger.info(
            f"model {card.name} is made for a GPU and this machine shows none: runs without, which may take very long"
        )
    least = (card.gpu_memory or 0) * ROUNDED
    fit = tuple(gpu for gpu in chosen if not gpu.memory or gpu.memory >= least)
    if small := [gpu for gpu in chosen if gpu not in fit]:
        told = ", ".join(
            f"GPU {gpu.index} ({gpu.name}) has {gpu.memory / 2**30:.1f} GiB" for gpu in small
        )
        lacks = f"model {card.name} needs {(card.gpu_memory or 0) / 2**30:.1f} GiB of GPU memory by its card; {told}"
        if wanted is not None:
            logger.info(f"{lacks}: used as it was asked for, and may run out of memory")
            return chosen
        if not fit and card.gpu == "required":
            raise UserError(f"{lacks}. Use a larger one, or ask for it by its index to try")
        logger.info(f"{lacks}: {'runs without a GPU' if not fit else 'not used'}")
    return fit


def lease(uuid: str, holder: str) -> AbstractContextManager[None]:
    """Hold a GPU for this process, after any present holder; the lease ends with the process.

    Raises OSError where the cache's file system has no locks: two runs on one GPU would spoil each
    other's times and memory.
    """
    return file_lock(paths.cache() / "gpus" / f"{uuid}.lock", holder)
