"""A run in figures: for each target and modality how many, which failed, and where the scores lie."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import UnknownNameError
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.registry import NOT_EVALUATED, failure_value
from evaluator.runs.reproducibility import read_verdict
from evaluator.runs.results import displacements
from evaluator.runs.tables import at_round, read_scores
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evaluator.runs.store import RunStore
    from evaluator.types import Protocol


def summarise(
    run: RunStore, *, metrics: Sequence[str] = (), round_number: int | None = None
) -> list[dict[str, Any]]:
    """One object for each model x target x modality, by name.

    ``n`` predictions have a value or failed; ``failed`` of them have no mask; ``excluded`` could not be asked or scored;
    ``statuses`` counts all; ``random_weights`` is there, and true, where no figure is a result; ``reproducibility`` is whether
    the model gave the same when some scans were asked again; ``displacement_mm`` is the farthest that a prompt had to
    be moved to lie in that image's reference. mean, median, q1 and q3 are those of ``metric``, the first one asked for
    or the protocol's first; ``metrics`` holds those of all. They count a failure as the protocol says
    (``failures_count_as``), and a
    distance without a number as the protocol's cap; ``scored_mean`` and ``scored_median`` leave failures out. None where
    there is nothing to average. Raises UnknownNameError for a metric that the run does not have.
    """
    protocol = load_protocol(run.info().protocol_source)
    for name in metrics:
        if name not in protocol.metrics:
            raise UnknownNameError(f"metric in run {run.name}", name, protocol.metrics)
    wanted = list(metrics or protocol.metrics)
    frame = at_round(read_scores(run), round_number, protocol)
    random = run.info().random_weights
    verdict, moved = read_verdict(run), displacements(run)
    entries = []
    for (model, target, modality), group in frame.groupby(
        ["model", "target", "modality"], sort=True
    ):
        own = {name: figures(group[group["metric"] == name], name, protocol) for name in wanted}
        main = group[group["metric"] == wanted[0]]
        asked = ~main["status"].isin(NOT_EVALUATED)
        scored = main["status"].isin(["ok", str(ScoreStatus.ONE_EMPTY)])
        counts = {
            "n": int(asked.sum()),
            "failed": int((asked & ~scored).sum()),
            "excluded": int((~asked).sum()),
            "statuses": dict(sorted(Counter(str(status) for status in main["status"]).items())),
        }
        named = {"model": model, "target": target, "modality": modality} | (
            {"random_weights": True} if random else {}
        )
        counts["reproducibility"] = verdict
        counts["displacement_mm"] = max(moved.get((str(target), str(modality)), [0.0]))
        entries.append(named | counts | {"metric": wanted[0]} | own[wanted[0]] | {"metrics": own})
    return entries


def figures(group: pd.DataFrame, metric: str, protocol: Protocol) -> dict[str, float | None]:
    """The figures of one metric over many predictions."""
    asked = group[~group["status"].isin(NOT_EVALUATED)]
    known = asked.loc[asked["status"] == "ok", "value"].astype(float).to_list()
    one_empty = int((asked["status"] == ScoreStatus.ONE_EMPTY).sum())
    failed = len(asked) - len(known) - one_empty
    worst = failure_value(metric, protocol)
    scored = known + ([] if worst is None else [worst] * one_empty)
    everything = scored + (
        [worst] * failed if worst is not None and protocol.failures_count_as == "worst" else []
    )
    q1, median, q3 = np.percentile(everything, (25, 50, 75)) if everything else (None, None, None)
    return {
        "mean": _round(np.mean(everything)) if everything else None,
        "median": _round(median),
        "q1": _round(q1),
        "q3": _round(q3),
        "scored_mean": _round(np.mean(scored)) if scored else None,
        "scored_median": _round(np.median(scored)) if scored else None,
    }


def header(run: RunStore) -> list[str]:
    """What was measured on what, in lines to stand above every table."""
    info = run.info()
    identity, dataset = info.identity, info.dataset
    weights = info.card.get("umd.weights", "")
    random = f"RANDOM WEIGHTS, NOT A RESULT ({weights}). " if info.random_weights else ""
    synthetic = (
        "SYNTHETIC DATA: these scores say nothing about patients. " if dataset.synthetic else ""
    )
    isolated = "" if info.engine.isolates else " (without a container)"
    kind = info.prompt_kind or "no prompt that the model understands"
    return [
        f"{identity.model}{isolated} on {dataset.title}, protocol {identity.protocol}, prompt: {kind}",
        f"{random}{synthetic}References: {dataset.reference_origin}.",
    ] + ([f"options: {identity.options}"] if identity.options else [])


def not_run(run: RunStore) -> list[str]:
    """Scans about which nothing was asked, and why."""
    return [
        f"{record.case} {record.modality}: {record.reason}"
        for record in run.records()
        if record.state == "not-run"
    ]


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
