"""Agreement between models on the same images, without a reference.

Agreement is not accuracy: models that make the same error agree. Masks are compared in pairs and
with a consensus of all models, by majority or by STAPLE (Warfield, Zou and Wells, IEEE Trans Med
Imaging 2004;23:903-921). One scan's masks are in memory at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.consensus import FEWEST_MODELS, compare_with_consensus
from evaluator.errors import RunConflictError, UserError
from evaluator.imaging.geometry import affine_of, difference, spacing
from evaluator.imaging.grid_masks import common_region
from evaluator.manifests.organs import load_organs
from evaluator.metrics.registry import score
from evaluator.metrics.target_measurement import measure
from evaluator.runs.results import load
from evaluator.runs.tables import last_round
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from evaluator.analysis.consensus import Consensus
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.mask_files import MaskFiles
    from evaluator.runs.results import Results, RunFacts
    from evaluator.runs.store import RunStore

    Row = dict[str, Any]


OUTLIER = 0.2
"""A model is an outlier if its mean Dice with the others is lower by this than theirs."""

_SCAN = ["case", "subject", "modality", "target", "seed"]

COLUMNS = {
    "pairs": {
        **dict.fromkeys(_SCAN, "as in the table of predictions"),
        "model": "one model",
        "other": "the other model",
        "status": "ok, no mask, both empty, or other grid",
        "dice": "Dice of the two masks",
        "nsd": "normalised surface distance of the two masks at the organ's tolerance",
        "model_ml": "volume of the model's mask, ml",
        "other_ml": "volume of the other model's mask, ml",
    },
    "consensus": {
        **dict.fromkeys(_SCAN, "as in the table of predictions"),
        "model": "the model",
        "masks": "number of masks in the consensus, the model's included",
        "status": "ok or both empty",
        "dice": "Dice of the model's mask and the consensus",
        "consensus_ml": "volume of the consensus, ml",
    },
    "outliers": {
        **dict.fromkeys(_SCAN, "as in the table of predictions"),
        "model": "the model",
        "with_others": "mean Dice of the model's mask with the other models' masks",
        "among_others": "mean Dice of the other models' masks with each other",
    },
    "summary": {
        "modality": "CT, MR or PT",
        "target": "the target",
        "model": "one model",
        "other": "the other model",
        "subjects": "number of subjects with a Dice",
        "dice": "mean over subjects of the mean over their scans and seeds",
        "dice_median": "median over subjects",
        "dice_lowest": "lowest of the subjects",
        "nsd": "mean over subjects",
        "without_dice": "scans and seeds without a Dice",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAgreement:
    """Tables with the columns of ``COLUMNS``."""

    #: one row for each pair of models, scan, target and seed
    pairs: pd.DataFrame
    #: one row for each model, scan, target and seed with at least three masks
    consensus: pd.DataFrame
    #: models that agree less with the others than these with each other
    outliers: pd.DataFrame
    #: pairs by modality and target, over subjects
    summary: pd.DataFrame
    #: whether all models got the same prompts, as a sentence
    prompts: str
    #: what must be known of the runs, as sentences
    warnings: tuple[str, ...]


def agree(
    runs: Iterable[str | Path | RunStore],
    *,
    consensus: Consensus = "majority",
    outlier: float = OUTLIER,
) -> ModelAgreement:
    """Compare the masks of several runs with each other; references are not read.

    A prediction stands as after its last round.

    Args:
        runs: names, folders or stores of at least two runs on the same data.
        consensus: a voxel is in the consensus if more than half of the masks have it
            (``majority``), or if STAPLE gives it a probability above 0.5 (``staple``).
        outlier: see ``OUTLIER``.

    Raises:
        UserError: there are fewer than two runs.
        RunConflictError: the runs are on different data.
    """
    results = load(list(runs))
    _require_same_data(results.runs)
    labels = _labels(results.runs)
    of_runs = {run.name: run.store.masks for run in results.runs}
    predictions = last_round(results.predictions)
    texts = dict.fromkeys(("case", "subject", "modality", "target", "run", "status"), "str")
    tables: dict[str, list[Row]] = {"pairs": [], "consensus": [], "outliers": []}
    for key, rows in predictions.astype(texts).groupby(_SCAN, sort=True):
        scan = dict(zip(_SCAN, key, strict=True))
        masks = {labels[str(row.run)]: _mask(row, of_runs) for row in rows.itertuples()}
        by_model = {label: masks.get(label) for label in labels.values()}
        pairs = _pairs(by_model, str(scan["target"]))
        tables["pairs"] += [scan | row for row in pairs]
        tables["consensus"] += [scan | row for row in compare_with_consensus(by_model, consensus)]
        tables["outliers"] += [scan | row for row in _outliers(pairs, outlier)]
    frames = {
        name: pd.DataFrame(rows, columns=list(COLUMNS[name])) for name, rows in tables.items()
    }
    return ModelAgreement(
        **frames,
        summary=_summary(frames["pairs"]),
        prompts=_describe_prompts(results.runs),
        warnings=_warnings(results),
    )


def _require_same_data(runs: tuple[RunFacts, ...]) -> None:
    if len(runs) < 2:
        raise UserError("agreement needs the runs of two models or more; name another run")
    first = runs[0]
    for run in runs[1:]:
        if run.dataset_sha256 != first.dataset_sha256:
            raise RunConflictError(
                f"runs {first.name} and {run.name} are on different data ({first.dataset} "
                f"{first.dataset_sha256[:12]} and {run.dataset} {run.dataset_sha256[:12]}), so "
                "their masks cannot be compared; name runs on one version of a dataset"
            )


def _labels(runs: tuple[RunFacts, ...]) -> dict[str, str]:
    """A run's name -> the model's label, with the run's name where several have it."""
    count = Counter(run.label for run in runs)
    return {
        run.name: run.label if count[run.label] == 1 else f"{run.label} [{run.name}]"
        for run in runs
    }


def _describe_prompts(runs: tuple[RunFacts, ...]) -> str:
    kinds = {
        (run.protocol, run.protocol_sha256, run.prompt_kind, run.info.identity.prompts)
        for run in runs
    }
    if len(kinds) == 1:
        return f"all models got the same prompts: {runs[0].protocol}, {runs[0].prompt_kind}"
    parts = ", ".join(f"{run.label} {run.protocol} ({run.prompt_kind})" for run in runs)
    return f"the models got different prompts: {parts}"


def _warnings(results: Results) -> tuple[str, ...]:
    warnings = []
    for run in results.runs:
        if run.random_weights:
            warnings.append(f"{run.label} has random weights: its masks have no meaning")
    if any(run.synthetic for run in results.runs):
        warnings.append(f"{results.runs[0].dataset} is synthetic data")
    return tuple(warnings)


def _mask(row: Any, of_runs: Mapping[str, MaskFiles]) -> GridMask | None:
    if row.status != Status.OK or pd.isna(row.mask):
        return None
    return of_runs[row.run].read_mask(str(row.mask))


def _pairs(masks: Mapping[str, GridMask | None], target: str) -> list[Row]:
    tolerance = load_organs().tolerance_mm(target)
    rows = []
    for (model, mask), (other, other_mask) in combinations(masks.items(), 2):
        row: Row = {"model": model, "other": other, "status": "ok"}
        row |= {"model_ml": _volume(mask), "other_ml": _volume(other_mask)}
        if mask is None or other_mask is None:
            row["status"] = "no mask"
        elif difference(mask.grid, other_mask.grid):
            row["status"] = "other grid"
        elif mask.empty and other_mask.empty:
            row["status"] = "both empty"
        else:
            low, high = common_region(mask, other_mask)
            step = spacing(affine_of(mask.grid))
            measures = measure(mask.crop(low, high), other_mask.crop(low, high), step, tolerance)
            row |= {entry.metric: entry.value for entry in score(measures, ("dice", "nsd"))}
        rows.append(row)
    return rows


def _volume(mask: GridMask | None) -> float | None:
    if mask is None:
        return None
    return mask.voxel_count * abs(float(np.linalg.det(affine_of(mask.grid)[:3, :3]))) / 1000


def _outliers(pairs: list[Row], least: float) -> list[Row]:
    """Models whose mean Dice with the others is lower by ``least`` than that of the others."""
    valid = [row for row in pairs if row["status"] == "ok"]
    models = dict.fromkeys(name for row in valid for name in (row["model"], row["other"]))
    if len(models) < FEWEST_MODELS:
        return []
    rows = []
    for model in models:
        with_model = [row["dice"] for row in valid if model in (row["model"], row["other"])]
        others = [row["dice"] for row in valid if model not in (row["model"], row["other"])]
        if others and np.mean(others) - np.mean(with_model) > least:
            rows.append(
                {
                    "model": model,
                    "with_others": float(np.mean(with_model)),
                    "among_others": float(np.mean(others)),
                }
            )
    return rows


def _summary(pairs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, group in pairs.groupby(["modality", "target", "model", "other"], sort=True):
        values = group[["dice", "nsd"]].astype("float64")
        by_subject = values.groupby(group["subject"]).mean().dropna(subset=["dice"])
        row: Row = dict(zip(("modality", "target", "model", "other"), key, strict=True))
        row |= {"subjects": len(by_subject), "without_dice": int(values["dice"].isna().sum())}
        if len(by_subject):
            dice = by_subject["dice"]
            row |= {"dice": dice.mean(), "dice_median": dice.median(), "dice_lowest": dice.min()}
            row["nsd"] = by_subject["nsd"].mean()
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS["summary"]))
