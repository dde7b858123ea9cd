"""Scan tasks: the units of work of a run, as plain values that can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.types import Case, Modality, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTask:
    """Scans of one case that are evaluated one after another.

    It is one scan; under shared clicks all scans of the case, as the others replay the clicks of
    one of them.
    """

    #: id of the case
    case: str
    #: in alphabetical order
    modalities: tuple[Modality, ...]
    #: of the first scan within the run; scans are numbered and their requests ordered by it
    number: int


def scan_tasks(cases: Sequence[Case], protocol: Protocol) -> tuple[ScanTask, ...]:
    """The tasks of these cases, in the order of cases and modalities."""
    tasks: list[ScanTask] = []
    number = 0
    for case in cases:
        modalities: list[Modality] = sorted(case.scans)
        if protocol.rounds.clicks == "shared":
            groups = [tuple(modalities)]
        else:
            groups = [(modality,) for modality in modalities]
        for group in groups:
            tasks.append(ScanTask(case=case.id, modalities=group, number=number))
            number += len(group)
    return tuple(tasks)
