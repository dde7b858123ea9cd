"""The scans of the runs, read only if the dataset has not changed since the run was made."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.analysis.run_dataset import dataset_of
from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import UserError, VolumeError
from evaluator.manifests.protocols import load_protocol
from evaluator.volumes import read_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.results import RunFacts
    from evaluator.types import Case, Modality, Scan, TargetPrompt
    from zoo_sdk.wire import Grid


logger = logging.getLogger(__name__)

#: scans whose images or references are held in memory at once
KEPT = 3


class CaseImages:
    """Cases of the runs' datasets, by id. What cannot be had is told once and then None."""

    def __init__(self) -> None:
        self._datasets: dict[tuple[str, str], Mapping[str, Case]] = {}
        self._references: dict[Path, Mapping[str, GridMask]] = {}

    def case(self, run: RunFacts, case_id: str) -> Case | None:
        """The case with its files; None where the dataset is not here, or not as it was."""
        key = (run.dataset, run.dataset_sha256)
        if key not in self._datasets:
            self._datasets[key] = self._cases(run)
        case = self._datasets[key].get(case_id)
        if case is None:
            return None
        try:
            return planned_case(case, load_protocol(run.info.protocol_source))
        except VolumeError:
            return None

    def references(self, scan: Scan) -> Mapping[str, GridMask]:
        """Every target's reference on the image's grid, cropped. Raises VolumeError."""
        if scan.image not in self._references:
            if len(self._references) >= KEPT:
                self._references.pop(next(iter(self._references)))
            self._references[scan.image] = load_references(scan).masks
        return self._references[scan.image]

    def _cases(self, run: RunFacts) -> Mapping[str, Case]:
        try:
            dataset = dataset_of(run)
        except UserError as error:
            logger.warning(f"no snapshots and no viewer for dataset {run.dataset}: {error}")
            return {}
        return {case.id: case for case in dataset.cases}


@lru_cache(maxsize=KEPT)
def image_of(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """An image's values and grid; the last few are kept. Raises VolumeError."""
    return read_image(path)


def prediction_of(run: RunFacts, file: str) -> GridMask | None:
    """A mask by its name in the run's record, cropped; None where it cannot be read."""
    try:
        return run.store.masks.read_mask(file)
    except UserError:
        return None


def prompts_of(
    run: RunFacts, case: str, modality: Modality
) -> Mapping[int, Mapping[str, TargetPrompt]]:
    """Round 0's prompts of a scan: seed -> target -> prompt; empty if the run recorded none."""
    prompts = run.store.prompts(case, verify=False)
    if prompts is None or modality not in prompts.prompts:
        return {}
    return prompts.scan(modality).prompts
