"""What is known of a scan before the model is run on it, and the order of its requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.records import ScanPrompts, SeedClicks
    from evaluator.types import Case, Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanStart:
    """What is known of a scan before the model is run on it."""

    case: Case
    modality: Modality
    #: orders the scan's requests within the run
    number: int
    #: of the result, see ``plan.scan_key``
    key: str
    #: role -> sha256
    files: Mapping[str, str]
    #: modalities of the request, the scan's own first
    inputs: tuple[Modality, ...]
    #: role -> sha256 of the files of all images of the requests
    input_files: Mapping[str, str]
    prompts: ScanPrompts
    #: clicks to replay; None: the scan's own errors are corrected
    replayed: SeedClicks | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A seed, and the targets that are asked for together."""

    seed: int
    #: distinguishes the requests of a seed; empty: it has one turn
    part: str
    targets: tuple[str, ...]


def plan_turns(prompts: ScanPrompts, seeds: Sequence[int], *, single_target: bool) -> list[Turn]:
    """All seeds, each with all targets, or with one target after the other.

    Args:
        prompts: of round 0.
        seeds: of the protocol.
        single_target: a request of the model holds one target.
    """
    turns = []
    for seed in seeds:
        targets = prompts.prompts.get(seed, {})  # none for a scan that cannot be read
        parts = [("", tuple(targets))]
        if single_target and len(targets) > 1:
            parts = [(f"t{number:02d}", (name,)) for number, name in enumerate(targets)]
        turns += [Turn(seed=seed, part=part, targets=names) for part, names in parts]
    return turns
