"""How far prompts were moved to lie on the reference of their image."""

from __future__ import annotations

from collections import defaultdict

from evaluator.runs.json_types import read_typed
from evaluator.runs.records import CasePrompts
from evaluator.runs.store import RunStore


def displacements(run: RunStore) -> dict[tuple[str, str], list[float]]:
    """How far each prompt with a point was moved to lie on its image's reference.

    Returns:
        (target, modality) -> millimetres, one for each case and seed; 0 for a prompt not moved.
    """
    distances: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in sorted((run.path / "prompts").glob("*.json")):
        case = read_typed(CasePrompts, path)
        for modality in case.prompts:
            for targets in case.scan(modality).prompts.values():
                for target, prompt in targets.items():
                    if prompt.points:
                        distances[target, modality].append(prompt.displacement_mm)
    return dict(distances)
