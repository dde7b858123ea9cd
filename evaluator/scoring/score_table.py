"""Scores of mask files as a pandas frame, for ``evaluator.score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.errors import UserError, VolumeError
from evaluator.manifests.label_tables import LabelTable, label_table
from evaluator.manifests.organs import load_organs
from evaluator.metrics.metric_table import METRICS
from evaluator.scoring.applicability import check_metrics, needs_image
from evaluator.scoring.file_pairs import find_pairs
from evaluator.scoring.files import DEFAULT_METRICS, Settings, score_pairs
from evaluator.scoring.pair_targets import named_by_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COLUMNS = ("name", "target", "status", "metric", "value", "reference_ml", "prediction_ml")
NUMBERS = ("value", "reference_ml", "prediction_ml")


def score_table(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Mapping[str, int | Sequence[int]] | None,
    metrics: Sequence[str],
    tolerance_mm: float | None,
    image: str | Path | None,
    resample: bool,
    threads: int | None,
) -> pd.DataFrame:
    """The scores of two files or two folders; see ``evaluator.score`` for arguments and errors."""
    names = tuple(metrics) or DEFAULT_METRICS
    check_metrics(names)
    if needs_image(names) and image is None:
        raise UserError("metrics of uptake need the PET image in SUV on the reference's grid")
    table = _label_table(labels)
    pairs, _ = find_pairs(Path(prediction), Path(reference), Path(image) if image else None)
    settings = Settings(
        tolerance_mm=_tolerance(tolerance_mm),
        labels=table.targets if table else None,
        ignored=table.ignored if table else (),
        metrics=names,
        named_by_file=table is not None or named_by_file(pairs),
        resample="nearest" if resample else "no",
    )
    rows: list[dict[str, Any]] = []
    for scores, _ in score_pairs(pairs, settings, threads=threads):
        rows.extend(_rows(scores, names))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(NUMBERS, "Float64"))


def _rows(scores: dict[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    if "error" in scores:
        raise VolumeError(scores["error"])
    for target in scores["targets"]:
        for name in names:
            suffix = "_mm" if METRICS[name].unit == "mm" else ""
            yield {
                "name": scores["name"],
                "target": target["name"],
                "status": target["status"],
                "metric": name,
                "value": target.get(name + suffix),
                "reference_ml": target.get("reference_ml"),
                "prediction_ml": target.get("prediction_ml"),
            }


def _label_table(labels: Mapping[str, int | Sequence[int]] | None) -> LabelTable | None:
    if labels is None:
        return None
    try:
        return label_table(labels)
    except ValueError as error:
        raise UserError(f"labels: {error}") from None


def _tolerance(tolerance_mm: float | None) -> Callable[[str], float]:
    """Tolerance of a target by name, mm."""
    if tolerance_mm is None:
        return load_organs().tolerance_mm
    return lambda _: tolerance_mm
