"""How much disk space a run needs, and how much there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import VolumeError
from evaluator.evaluation.task_scheduler import OPEN
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.types import Protocol, Scan

#: rough size of one packed mask relative to its grid: bytes for each voxel
MASK_BYTES_PER_VOXEL = 0.01
#: of one voxel of a staged image, at most
IMAGE_BYTES_PER_VOXEL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskEstimate:
    """Disk space that the scans to do need, bytes."""

    #: images in the cache at the same time, at most
    staged: int
    #: masks in the run folder, a rough estimate from the grids' sizes
    masks: int
    #: free space for the cache, and for runs
    cache_free: int
    runs_free: int


def estimate_disk(scans: Iterable[Scan], protocol: Protocol, *, workers: int) -> DiskEstimate:
    """Estimate the disk space of a run; a scan that cannot be read needs none.

    Args:
        scans: to do.
        protocol: of the run.
        workers: GPUs that are used at the same time; 0: the CPU alone.
    """
    rounds = protocol.rounds.count * len(protocol.seeds)
    voxels, masks = [0], 0.0
    for scan in scans:
        try:
            shape = read_grid(scan.image).shape
        except VolumeError:
            continue
        size = shape[0] * shape[1] * shape[2]
        voxels.append(size)
        masks += size * MASK_BYTES_PER_VOXEL * len(scan.targets) * rounds
    return DiskEstimate(
        staged=max(voxels) * IMAGE_BYTES_PER_VOXEL * OPEN * max(workers, 1),
        masks=int(masks),
        cache_free=_free(paths.cache()),
        runs_free=_free(paths.runs()),
    )


def _free(folder: Path) -> int:
    """Free bytes of the file system that a folder is on, or will be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
