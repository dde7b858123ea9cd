"""The effort of a prompt: clicks, boxes, and millimetres of scribbles, up to each round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.records import ScanRecord
    from evaluator.types import TargetPrompt
    from zoo_sdk.wire import Point

    #: seed, round, target
    Key = tuple[int, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a user would have done for one target, from round 0 on."""

    clicks: int = 0
    boxes: int = 0
    #: length of all scribbles, mm
    scribble_mm: float = 0.0


def efforts(
    record: ScanRecord, prompts: Mapping[int, Mapping[str, TargetPrompt]]
) -> dict[Key, Effort]:
    """The effort of each target of a scan up to each of its rounds.

    A point of round 0 is a click. A correction of one point is a click; one of several points is a
    scribble, whose length is that of the line through them. A text or a class is no effort.

    Args:
        record: the scan's record.
        prompts: seed -> target -> the prompt of round 0; targets without one have no effort.
    """
    result: dict[Key, Effort] = {}
    present: dict[tuple[int, str], Effort] = {}
    for entry in sorted(record.rounds, key=lambda entry: (entry.seed, entry.round)):
        for target in entry.targets:
            key = (entry.seed, target)
            prompt = prompts.get(entry.seed, {}).get(target)
            if prompt is None:
                continue
            if key not in present:
                boxes = 0 if prompt.box is None else 1
                present[key] = Effort(clicks=len(prompt.points), boxes=boxes)
            present[key] = _with_correction(present[key], entry.added.get(target, ()))
            result[entry.seed, entry.round, target] = present[key]
    return result


def _with_correction(effort: Effort, points: Sequence[Point]) -> Effort:
    is_scribble = len(points) > 1
    return Effort(
        clicks=effort.clicks + (0 if is_scribble else len(points)),
        boxes=effort.boxes,
        scribble_mm=effort.scribble_mm + _length_mm(points),
    )


def _length_mm(points: Sequence[Point]) -> float:
    if len(points) < 2:
        return 0.0
    steps = np.diff([point.ras_mm for point in points], axis=0)
    return float(np.linalg.norm(steps, axis=1).sum())
