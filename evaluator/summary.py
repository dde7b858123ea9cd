"""A run in figures: for each target and modality how many, which failed, and where the scores lie."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.manifests.protocols import load_protocol
from evaluator.metrics import METRICS
from evaluator.tables import read_scores
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evaluator.store import RunStore
    from evaluator.types import Protocol

#: statuses that say nothing about the model
NOT_ASKED = (ScoreStatus.UNDEFINED, ScoreStatus.NOT_RUN)


def summarise(
    run: RunStore, *, metrics: Sequence[str] = (), round_number: int | None = None
) -> list[dict[str, Any]]:
    """One object for each model x target x modality x metric, in the table's order.

    ``n`` predictions have a value or failed; ``failed`` of them have no mask; ``excluded`` could not be asked or scored.
    mean, median, q1, q3 count a failure as the protocol says (``failures_count_as``), a distance without a number as the
    protocol's cap; ``scored_mean`` and ``scored_median`` leave failures out. None where there is nothing to average.
    """
    protocol = load_protocol(run.about()["protocol_source"])
    frame = at_round(read_scores(run), round_number)
    if metrics:
        frame = frame[frame["metric"].isin(metrics)]
    order = {name: n for n, name in enumerate(protocol.metrics)}
    groups = frame.groupby(["model", "target", "modality", "metric"], sort=False)
    entries = [
        {"model": model, "target": target, "modality": modality, "metric": metric} | figures(group, metric, protocol)
        for (model, target, modality, metric), group in groups
    ]
    return sorted(entries, key=lambda e: (e["target"], e["modality"], order.get(e["metric"], 99)))


def at_round(frame: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """The scores of one round of corrections; by default the last that each prediction had."""
    if number is not None:
        return frame[frame["round"] == number]
    last = frame.groupby(["case", "modality", "target", "seed"])["round"].transform("max")
    return frame[frame["round"] == last]


def figures(group: pd.DataFrame, metric: str, protocol: Protocol) -> dict[str, Any]:
    """The figures of one metric over many predictions."""
    statuses = Counter(str(status) for status in group["status"])
    asked = group[~group["status"].isin(NOT_ASKED)]
    known = asked.loc[asked["status"] == "ok", "value"].astype(float).to_list()
    one_empty = int((asked["status"] == ScoreStatus.ONE_EMPTY).sum())
    failed = len(asked) - len(known) - one_empty
    worst = METRICS[metric].worst
    stand_in = worst if np.isfinite(worst) else protocol.distance_cap_mm
    scored = known + [stand_in] * one_empty
    everything = scored + ([stand_in] * failed if protocol.failures_count_as == "worst" else [])
    q1, median, q3 = np.percentile(everything, (25, 50, 75)) if everything else (None, None, None)
    return {
        "n": len(asked),
        "failed": failed,
        "excluded": len(group) - len(asked),
        "statuses": dict(sorted(statuses.items())),
        "mean": _round(np.mean(everything)) if everything else None,
        "median": _round(median),
        "q1": _round(q1),
        "q3": _round(q3),
        "scored_mean": _round(np.mean(scored)) if scored else None,
        "scored_median": _round(np.median(scored)) if scored else None,
    }


def header(run: RunStore) -> list[str]:
    """What was measured on what, in lines to stand above every table."""
    about = run.about()
    identity, dataset = about["identity"], about["dataset"]
    synthetic = "SYNTHETIC DATA: these scores say nothing about patients. " if dataset["synthetic"] else ""
    isolated = "" if about["engine"]["isolates"] else " (without a container)"
    kind = about["prompt_kind"] or "no prompt that the model understands"
    return [
        f"{identity['model']}{isolated} on {dataset['title']}, protocol {identity['protocol']}, prompt: {kind}",
        f"{synthetic}References: {dataset['reference_origin']}.",
    ]


def statuses(run: RunStore, metrics: Sequence[str] = (), number: int | None = None) -> dict[str, int]:
    """How many predictions ended in each status that is not ok, by the run's first metric."""
    frame = at_round(read_scores(run), number)
    wanted = [name for name in frame["metric"].unique() if not metrics or name in metrics]
    frame = frame[(frame["metric"] == wanted[0]) & (frame["status"] != "ok")] if wanted else frame
    return dict(sorted(Counter(str(status) for status in frame["status"]).items()))


def not_run(run: RunStore) -> list[str]:
    """Scans about which nothing was asked, and why."""
    return [
        f"{record['case']} {record['modality']}: {record['reason']}"
        for record in run.records()
        if record["state"] == "not-run"
    ]


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
