"""Which cases a process does, and in which order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.runs.shards import Shard
    from evaluator.types import Case


def shuffled(cases: Sequence[Case], seed: int | None) -> list[Case]:
    """The cases in a random order that the seed decides; without a seed in the given one."""
    ordered = list(cases)
    if seed is not None:
        random.Random(seed).shuffle(ordered)  # noqa: S311
    return ordered


def shard_cases(cases: Sequence[Case], shard: Shard | None) -> list[str]:
    """Ids of the cases of a shard; all without one. A subject's cases are in the same shard."""
    if shard is None:
        return [case.id for case in cases]
    subjects = sorted({case.subject for case in cases})
    chosen = set(subjects[shard.index - 1 :: shard.count])
    return [case.id for case in cases if case.subject in chosen]
