"""How long scans took in earlier runs, to estimate the time of a new one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.runs.names import all_runs

if TYPE_CHECKING:
    from evaluator.runs.run_info import RunIdentity
    from evaluator.runs.store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """The model's time for one scan, from an earlier run."""

    #: median over scans of the time of all requests of a scan, s
    seconds: float
    scans: int
    run: str
    #: in what the earlier run differs, such as "another dataset"; empty: in nothing that matters
    difference: str


def estimate_time(model: str, dataset: str, protocol: str) -> TimeEstimate | None:
    """The time of one scan, from the most similar earlier run of the model; None without one.

    A run of the same dataset and protocol is preferred, then one of the same protocol.
    """
    candidates = []
    for store in all_runs():
        try:
            identity = store.info().identity
        except UserError:
            continue
        if identity.model == model:
            similarity = (identity.protocol == protocol, identity.dataset == dataset)
            candidates.append((similarity, store.info().started, store.name, store))
    for *_, store in sorted(candidates, key=lambda entry: entry[:3], reverse=True):
        seconds = _seconds_of_scans(store)
        if seconds:
            return TimeEstimate(
                seconds=median(seconds),
                scans=len(seconds),
                run=store.name,
                difference=_difference(store.info().identity, dataset, protocol),
            )
    return None


def _seconds_of_scans(store: RunStore) -> list[float]:
    """The time of each scan that the model was run on, s."""
    times = []
    for record in store.records():
        seconds = [entry.seconds for entry in record.rounds if entry.request and entry.seconds]
        if seconds:
            times.append(sum(seconds))
    return times


def _difference(identity: RunIdentity, dataset: str, protocol: str) -> str:
    words = []
    if identity.protocol != protocol:
        words.append(f"protocol {identity.protocol}")
    if identity.dataset != dataset:
        words.append(f"dataset {identity.dataset}")
    return " and ".join(words)
