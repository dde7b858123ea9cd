"""Why a target got no further rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "all-rounds", "dice-reached", "no-error", "clicks-spent", "recording-ended", "no-corrections"
]
"""Why a target got no further rounds; ``no-corrections``: the model takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """Why a target got no further rounds, after which round, with how many interactions."""

    reason: Reason
    round: int
    clicks: int
