"""The clicks of correction rounds as they are recorded, and replayed for other images and other models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import UserError
from evaluator.evaluation.plan import refusal
from evaluator.files import Json, fingerprint, read_json
from zoo_sdk.wire import Point

if TYPE_CHECKING:
    from collections.abc import Container

    from evaluator.evaluation.plan import Plan
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality


def clicks_of(record: Json) -> Json:
    """All that a scan's rounds added: seed -> target -> points, oldest first."""
    clicks: Json = {}
    for entry in record.get("rounds", ()):
        for target, points in entry.get("added", {}).items():
            clicks.setdefault(str(entry["seed"]), {}).setdefault(target, []).extend(points)
    return clicks


def recorded_clicks(run: RunStore, record: Json) -> Json:
    """A record's clicks; raises UserError where they are not those that were recorded."""
    clicks = clicks_of(record)
    if record.get("clicks_sha256", fingerprint({})) != fingerprint(clicks):
        raise UserError(
            f"the clicks of {record['case']} {record['modality']} in run {run.name} were changed since they were made; "
            "make that run again under another --name"
        )
    return clicks


def clicks_to_replay(
    plan: Plan,
    run: RunStore,
    replay: RunStore | None,
    case: Case,
    modality: Modality,
    problems: Container[Modality],
) -> Json:
    """Under shared clicks those that this scan replays, as ``{"clicks": ...}``; nothing where its own are recorded.

    They are those of the run that is replayed, or of the case's leading scan in this run; of a replayed run's scans the
    first in the anchor's order that has any.
    """
    if plan.protocol.rounds.clicks != "shared":
        return {}
    leader = leading(plan, case, problems)
    if replay is None and modality == leader:
        return {}
    sources = [leader] if replay is None else plan.protocol.prompts.anchor
    for name in sources:
        path = (replay or run).record_path(case.id, name) if name else None
        if path and path.exists() and (clicks := recorded_clicks(replay or run, read_json(path))):
            return {"clicks": clicks}
    return {"clicks": {}}


def leading(plan: Plan, case: Case, problems: Container[Modality]) -> Modality | None:
    """The scan whose clicks the case's other scans replay: the first in the anchor's order that can be asked about."""
    return next(
        (
            name
            for name in plan.protocol.prompts.anchor
            if name in case.scans and name not in problems and not refusal(plan, case, name)
        ),
        None,
    )


def points_of(replayed: Json, seed: int) -> dict[str, list[Point]] | None:
    """The clicks to replay of one seed; None where there is nothing to replay."""
    if not replayed:
        return None
    own = replayed["clicks"].get(str(seed), {})
    return {name: [point_of(point) for point in points] for name, points in own.items()}


def point_of(body: Json) -> Point:
    """A point as it was written to JSON."""
    i, j, k = body["index"]
    x, y, z = body["ras_mm"]
    return Point(
        index=(i, j, k), ras_mm=(x, y, z), foreground=body["foreground"], round=body["round"]
    )
