"""How the predictions of a run ended: counts by status, and the first reason of each status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.manifests.protocols import load_protocol
from evaluator.runs.results import load
from evaluator.runs.tables import at_round
from evaluator.types import Status

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The predictions of one status."""

    status: str
    count: int
    #: case, modality and target of the first
    first: str
    #: why the first one ended so; empty if there is nothing to say
    detail: str


def outcomes(run: RunStore, round_number: int | None = None) -> tuple[Outcome, ...]:
    """The predictions of a run by status, ``ok`` first, then the most frequent.

    Args:
        run: The run.
        round_number: Round of corrections. Default: each prediction's last round.

    Raises:
        UserError: The protocol does not have the round.
    """
    protocol = load_protocol(run.info().protocol_source)
    frame = at_round(load(run).predictions, round_number, protocol)
    ended = []
    for status, group in frame.groupby("status", observed=True, sort=True):
        row = group.iloc[0]
        details = group["detail"].dropna()
        outcome = Outcome(
            status=str(status),
            count=len(group),
            first=f"{row['case']} {row['modality']}, {row['target']}",
            detail=str(details.iloc[0]) if len(details) else "",
        )
        ended.append(outcome)
    return tuple(sorted(ended, key=lambda outcome: (outcome.status != Status.OK, -outcome.count)))


def describe_outcomes(
    run: RunStore, round_number: int | None = None, *, with_log: bool = True
) -> list[str]:
    """Lines for people: the counts, the first reason of each status, and where the log is.

    Without the log, no path of this machine is in the lines.
    """
    ended = outcomes(run, round_number)
    counts = ", ".join(f"{outcome.count} {outcome.status}" for outcome in ended)
    lines = [f"Predictions: {counts or 'none'}."]
    for outcome in ended:
        if outcome.detail:
            detail = " ".join(outcome.detail.split())
            lines.append(
                f"{outcome.status}, the first of {outcome.count}: {outcome.first}: {detail}"
            )
    log = run.path / "model.log"
    if with_log and any(outcome.status in _OF_THE_MODEL for outcome in ended) and log.is_file():
        lines.append(f"The model's log: umd log {run.name} ({log})")
    return lines


def has_masks(run: RunStore) -> bool:
    """True if at least one prediction has a mask; False also for a run without predictions."""
    return any(outcome.status == Status.OK for outcome in outcomes(run))


#: statuses whose reason may be in the model's log
_OF_THE_MODEL = frozenset(Status) - {Status.OK, Status.UNSUPPORTED}
