"""How far prompts lie from where the reference of their own image would put them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from evaluator.runs.json_types import read_typed
from evaluator.runs.read_once import once
from evaluator.runs.records import CasePrompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.runs.store import RunStore


def displacements(run: RunStore) -> dict[tuple[str, str], list[float]]:
    """How far each prompt with a point or a box is from its image's reference.

    Returns:
        (target, modality) -> millimetres, one for each case and seed. Of a point: how far it was
        moved to lie in the reference. Of a box: how far it lies from the box of the reference. 0:
        it did not have to be moved, or rounding to voxels explains the distance.
    """
    distances: dict[tuple[str, str], list[float]] = defaultdict(list)
    for prompt in once(("prompts", run.path), lambda: list(_prompts(run))):
        if prompt.has_points or prompt.has_box:
            distances[prompt.target, prompt.modality].append(prompt.displacement_mm)
    return dict(distances)


def describe_displacements(run: RunStore) -> str:
    """Say in one sentence how far prompts are displaced; empty if the run has no point or box."""
    points: list[float] = []
    boxes: list[float] = []
    for prompt in once(("prompts", run.path), lambda: list(_prompts(run))):
        if prompt.has_points:
            points.append(prompt.displacement_mm)
        elif prompt.has_box:
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


class _Prompt(NamedTuple):
    """What is needed of a prompt."""

    target: str
    modality: str
    has_points: bool
    has_box: bool
    displacement_mm: float


def _prompts(run: RunStore) -> Iterator[_Prompt]:
    """The prompt of each case, modality, seed and target that has one."""
    for path in sorted((run.path / "prompts").glob("*.json")):
        for modality, seeds in read_typed(CasePrompts, path).prompts.items():
            for targets in seeds.values():
                for target, body in targets.items():
                    if "absent" not in body:
                        yield _Prompt(
                            target=target,
                            modality=modality,
                            has_points=bool(body.get("points")),
                            has_box=bool(body.get("box")),
                            displacement_mm=float(body.get("displacement_mm") or 0.0),
                        )
