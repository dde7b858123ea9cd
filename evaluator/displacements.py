"""How far prompts had to be moved, because the voxel that they fell on was not in that image's reference."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from evaluator.store import read_json

if TYPE_CHECKING:
    from evaluator.store import RunStore


def displacements(run: RunStore) -> dict[tuple[str, str], list[float]]:
    """Target and modality -> millimetres of each prompt with a point, all cases and seeds; 0 where it was not moved."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in sorted((run.path / "prompts").glob("*.json")):
        for modality, seeds in read_json(path)["prompts"].items():
            for targets in seeds.values():
                for target, prompt in targets.items():
                    if prompt.get("points"):
                        found[target, modality].append(float(prompt["displacement_mm"]))
    return dict(found)


def tell_displacements(run: RunStore) -> str:
    """One line; empty where no point was given."""
    every = [mm for own in displacements(run).values() for mm in own]
    moved = [mm for mm in every if mm > 0]
    if not every:
        return ""
    if not moved:
        return f"None of {len(every)} prompts with a point had to be moved on its image."
    return (
        f"{len(moved)} of {len(every)} prompts with a point fell where they may not lie on their image (beside its own "
        f"reference) and were moved to the nearest voxel, by up to {max(moved):.1f} mm; umd show --json has it by target."
    )
