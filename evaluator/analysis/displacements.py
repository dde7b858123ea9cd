"""How far prompts lie from where the reference of their own image would put them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from evaluator.runs.json_types import read_typed
from evaluator.runs.records import CasePrompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.runs.store import RunStore
    from evaluator.types import TargetPrompt


def displacements(run: RunStore) -> dict[tuple[str, str], list[float]]:
    """How far each prompt with a point or a box is from its image's reference.

    Returns:
        (target, modality) -> millimetres, one for each case and seed. Of a point: how far it was
        moved to lie in the reference. Of a box: how far it lies from the box of the reference. 0:
        it did not have to be moved, or rounding to voxels explains the distance.
    """
    distances: dict[tuple[str, str], list[float]] = defaultdict(list)
    for target, modality, prompt in _prompts(run):
        if prompt.points or prompt.box:
            distances[target, modality].append(prompt.displacement_mm)
    return dict(distances)


def describe_displacements(run: RunStore) -> str:
    """Say in one sentence how far prompts are displaced; empty if the run has no point or box."""
    points: list[float] = []
    boxes: list[float] = []
    for _, _, prompt in _prompts(run):
        if prompt.points:
            points.append(prompt.displacement_mm)
        elif prompt.box:
            boxes.append(prompt.displacement_mm)
    sentences = []
    if moved := [distance for distance in points if distance > 0]:
        sentences.append(
            f"{len(moved)} of {len(points)} prompts with a point were outside the reference of "
            f"their image and were moved to the nearest voxel of it, by up to {max(moved):.1f} mm; "
            "umd show --json lists the distance by target."
        )
    elif points:
        sentences.append(
            f"None of {len(points)} prompts with a point had to be moved on its image."
        )
    if moved := [distance for distance in boxes if distance > 0]:
        sentences.append(
            f"{len(moved)} of {len(boxes)} boxes lie beside the box of their image's own "
            f"reference, by up to {max(moved):.1f} mm; umd show --json lists the distance by "
            "target."
        )
    return " ".join(sentences)


def largest_displacement_mm(run: RunStore) -> float:
    """The largest distance of ``displacements``, mm; 0 if there is none."""
    largest = 0.0
    for distances in displacements(run).values():
        largest = max(largest, *distances)
    return largest


def _prompts(run: RunStore) -> Iterator[tuple[str, str, TargetPrompt]]:
    """Target, modality and prompt of each case and seed."""
    for path in sorted((run.path / "prompts").glob("*.json")):
        case = read_typed(CasePrompts, path)
        for modality in case.prompts:
            for targets in case.scan(modality).prompts.values():
                for target, prompt in targets.items():
                    yield target, modality, prompt
