"""The clicks of correction rounds, replayed for other images and other models."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.evaluation.plan import refusal
from evaluator.files import Json, fingerprint

if TYPE_CHECKING:
    from collections.abc import Container

    from evaluator.evaluation.plan import Plan
    from evaluator.runs.records import ScanRecord, SeedClicks
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality


def clicks_as_json(clicks: SeedClicks) -> Json:
    """Clicks as plain JSON values, as they enter keys and hashes."""
    body: Json = {}
    for seed, targets in clicks.items():
        body[str(seed)] = {name: list(map(asdict, points)) for name, points in targets.items()}
    return body


def clicks_sha256(record: ScanRecord) -> str:
    """The hash over all clicks of a scan."""
    return fingerprint(clicks_as_json(record.clicks()))


def recorded_clicks(run: RunStore, record: ScanRecord) -> SeedClicks:
    """A record's clicks.

    Raises:
        UserError: they were changed since they were recorded.
    """
    expected = record.clicks_sha256 or fingerprint({})
    if expected != clicks_sha256(record):
        raise UserError(
            f"the clicks of {record.case} {record.modality} in run {run.name} were changed since "
            "they were recorded; make that run again under another --name"
        )
    return record.clicks()


def clicks_to_replay(
    plan: Plan,
    run: RunStore,
    replay: RunStore | None,
    case: Case,
    modality: Modality,
    problems: Container[Modality],
) -> SeedClicks | None:
    """The clicks that a scan replays under shared clicks.

    Args:
        plan: of the run.
        run: the run itself.
        replay: another run whose clicks are replayed.
        case: the case.
        modality: the scan.
        problems: modalities that cannot be used.

    Returns:
        None if the scan's own errors are corrected. Else the clicks of the other run, of its first
        scan in the anchor's order that has any; without another run those of the case's click
        source in this run.
    """
    if plan.protocol.rounds.clicks != "shared":
        return None
    source = click_source(plan, case, problems)
    if replay is None and modality == source:
        return None
    sources = (source,) if replay is None else plan.protocol.prompts.anchor
    store = replay or run
    for name in sources:
        record = store.record(case.id, name) if name else None
        clicks = recorded_clicks(store, record) if record else {}
        if clicks:
            return clicks
    return {}


def click_source(plan: Plan, case: Case, problems: Container[Modality]) -> Modality | None:
    """The scan whose clicks the others replay: the first in the anchor's order that can be run."""
    for name in plan.protocol.prompts.anchor:
        usable = name in case.scans and name not in problems
        if usable and not refusal(plan, case, name):
            return name
    return None
