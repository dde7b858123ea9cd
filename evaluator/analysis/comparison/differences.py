"""The tables of paired comparisons: modalities within a model, and models within a modality."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.families import family_name
from evaluator.analysis.comparison.grid_control import add_grid_control
from evaluator.analysis.comparison.paired_tests import (
    WITHOUT_ALLOWANCE,
    judge,
    paired_estimates,
)
from evaluator.analysis.comparison.pairing import NO_ESTIMATE, arm_of, make_pairs, why_no_estimate
from evaluator.analysis.comparison.schema import ALL_TARGETS, MODALITY, MODALITY_PAIRS, MODELS
from evaluator.analysis.comparison.score_array import EXCLUDED, FAILURE_RULES, INCLUDED
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.pairing import Arm, Pairs
    from evaluator.analysis.comparison.score_array import ScoreArray

    Names = Sequence[Mapping[str, str]]

#: pairs of models that are computed at once, to limit memory
_CHUNK = 64
#: text columns that ``judge`` returns
_WORDS = ("verdict", "verdict_reason", "status", "explanation")
#: number columns that ``judge`` returns
_ADJUSTED = (
    "p_holm", "p_equivalence_holm", "smallest_p_holm", "subjects_for_tests", "subjects_needed",
    "subjects_needed_low", "subjects_needed_high",
)  # fmt: skip
#: columns that are NA in a row without a valid estimate; the means of its arms are not
_ESTIMATES = [
    "difference", "low", "high", "low_90", "high_90", "low_observed", "high_observed", "shift",
    "rank_biserial", "wins", "p", "p_sign_flip", "p_equivalence", *_ADJUSTED,
]  # fmt: skip


def compare_modalities(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Compare structural with functional images within each model and target.

    Returns:
        Rows with the columns ``MODALITY`` (without dataset and protocol), for each modality pair
        that the data have. If they have none, rows with status "no pairs".
    """
    models = np.arange(len(score_array.models))
    blocks = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        modality_pair = f"{structural}-{functional}"
        if not (score_array.has[a] & score_array.has[b]).any():
            continue
        names = [{"model": model, "modality_pair": modality_pair} for model in score_array.models]
        arms = (arm_of(score_array, models, a), arm_of(score_array, models, b))
        labels = [(structural, functional)] * len(models)
        block = paired_blocks(score_array, arms, labels, names, options)
        family = f"{score_array.metric}, {modality_pair}"
        block = with_families(block, score_array.metric, family, options)
        blocks.append(add_grid_control(block, score_array, (a, b), options))
    if not blocks:
        blocks = [_not_paired(score_array, options)]
    columns = {"first": "mean_structural", "second": "mean_functional"}
    columns |= {"failed_first": "failed_structural", "failed_second": "failed_functional"}
    return _tidy(pd.concat(blocks, ignore_index=True).rename(columns=columns), MODALITY)


def compare_models(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Compare every two models within each target and modality.

    Returns:
        Rows with the columns ``MODELS`` (without dataset and protocol).
    """
    first, second = np.triu_indices(len(score_array.models), 1)
    if not len(first):
        return _tidy(pd.DataFrame(columns=list(MODELS)), MODELS)
    blocks = []
    for number, modality in enumerate(MODALITIES):
        if not score_array.has[number].any():
            continue
        chunks = []
        for start in range(0, len(first), _CHUNK):
            i, j = first[start : start + _CHUNK], second[start : start + _CHUNK]
            labels = [
                (score_array.models[a], score_array.models[b]) for a, b in zip(i, j, strict=True)
            ]
            names = [{"model": a, "other": b, "modality": modality} for a, b in labels]
            arms = (arm_of(score_array, i, number), arm_of(score_array, j, number))
            chunks.append(paired_blocks(score_array, arms, labels, names, options))
        family = f"{score_array.metric}, {modality}"
        block = pd.concat(chunks, ignore_index=True)
        blocks.append(with_families(block, score_array.metric, family, options))
    if not blocks:
        return _tidy(pd.DataFrame(columns=list(MODELS)), MODELS)
    columns = {"first": "mean_model", "second": "mean_other"}
    columns |= {"failed_first": "failed_model", "failed_second": "failed_other"}
    return _tidy(pd.concat(blocks, ignore_index=True).rename(columns=columns), MODELS)


def paired_blocks(
    score_array: ScoreArray,
    arms: tuple[Arm, Arm],
    labels: Sequence[tuple[str, str]],
    names: Names,
    options: ComparisonOptions,
) -> pd.DataFrame:
    """Compute k comparisons of all targets under both failure rules, without adjusted p."""
    included, excluded = (make_pairs(*arms, score_array, failures) for failures in FAILURE_RULES)
    every = np.ones(included.used.size, dtype=bool)
    estimates = _estimates(included, every, score_array, options)
    # without failed pairs the estimates are the same: compute again only those that differ
    changed = (excluded.used != included.used).ravel()
    recomputed = _estimates(excluded, changed, score_array, options)
    unchanged = estimates | {"loss": np.zeros_like(estimates["loss"])}
    unchanged |= {to: estimates[name] for name, to in WITHOUT_ALLOWANCE.items()}
    without_failures = {
        name: np.where(changed, recomputed[name], values) for name, values in unchanged.items()
    }
    blocks = (
        _block(included, estimates, score_array, labels, names, INCLUDED),
        _block(excluded, without_failures, score_array, labels, names, EXCLUDED),
    )
    return pd.concat(blocks, ignore_index=True)


def _estimates(
    pairs: Pairs, selected: Any, score_array: ScoreArray, options: ComparisonOptions
) -> dict[str, Any]:
    first, second = (
        means.reshape(-1, means.shape[-1])[selected] for means in (pairs.first, pairs.second)
    )
    failures = pairs.failures
    if failures is not None:
        failures = failures[0].rows(selected), failures[1].rows(selected)
    estimates = paired_estimates(first, second, score_array.metric, options, failures)
    columns = {}
    for name, values in estimates.items():
        columns[name] = np.zeros(len(selected), values.dtype)
        columns[name][selected] = values
    return columns


def _block(
    pairs: Pairs,
    estimates: dict[str, Any],
    score_array: ScoreArray,
    labels: Sequence[tuple[str, str]],
    names: Names,
    failures: str,
) -> pd.DataFrame:
    targets = (*score_array.targets, ALL_TARGETS)
    frame = pd.DataFrame(estimates)
    for column in names[0]:
        frame[column] = np.repeat([row[column] for row in names], len(targets)).astype(object)
    frame["target"] = list(targets) * len(names)
    frame["metric"] = score_array.metric
    frame["failures"] = failures
    frame["n_pairs"] = pairs.used.ravel()
    frame["excluded"] = pairs.excluded.ravel()
    for arm, failed in zip(("first", "second"), pairs.failed, strict=True):
        frame[f"failed_{arm}"] = failed.ravel()
    reasons = [
        why_no_estimate(pairs, k, target, labels[k])
        for k, target in product(range(len(names)), range(len(targets)))
    ]
    frame["status"], frame["explanation"] = zip(*reasons, strict=True)
    return frame


def with_families(
    block: pd.DataFrame, metric: str, family: str, options: ComparisonOptions
) -> pd.DataFrame:
    """Add Holm's adjustment and the verdicts.

    Under each failure rule, targets x comparisons are one family and their means over targets are
    another. Declared families divide both.
    """
    columns = {name: np.empty(len(block), dtype=object) for name in ("family", *_WORDS)}
    columns |= {name: np.full(len(block), np.nan) for name in _ADJUSTED}
    for (failures, overall, name), rows in _family_rows(block, options).items():
        results = _judge_rows(block, rows, metric)
        targets = block["target"].iloc[rows].nunique()
        label = ALL_TARGETS if overall else f"{targets} {'target' if targets == 1 else 'targets'}"
        label = f"{family}, failures {failures}: {label} x {_comparisons(block, rows)}"
        tests = results.pop("tests")
        suffix = f"; {name}" if name else ""
        results["family"] = [f"{label}, {count} tests{suffix}" for count in tests]
        for column, values in results.items():
            columns[column][rows] = values
    block = block.reset_index(drop=True).assign(**columns)
    block[_ESTIMATES] = block[_ESTIMATES].mask(block["status"].isin(NO_ESTIMATE))
    return block


def _judge_rows(block: pd.DataFrame, rows: Any, metric: str) -> dict[str, Any]:
    selected = block.iloc[rows]
    words = ("status", "explanation")
    reasons = list(zip(*(selected[word].tolist() for word in words), strict=True))
    numbers = selected.select_dtypes("number")
    estimates = {str(name): numbers[name].to_numpy() for name in numbers}
    return judge(estimates, metric, reasons)


def _models_of(block: pd.DataFrame) -> list[str]:
    """The columns that name a row's models."""
    return [name for name in ("model", "other") if name in block]


def _family_rows(block: pd.DataFrame, options: ComparisonOptions) -> dict[tuple[Any, ...], Any]:
    """Return the rows of each family, by failure rule, whether over all targets, and name."""
    names = [
        family_name(models, str(target), options.families, options.outside)
        for target, *models in block[["target", *_models_of(block)]].itertuples(index=False)
    ]
    keys = zip(block["failures"], block["target"] == ALL_TARGETS, names, strict=True)
    rows: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: np.array(numbers) for key, numbers in rows.items()}


def _comparisons(block: pd.DataFrame, rows: Any) -> str:
    models = _models_of(block)
    count = len(block.iloc[rows][models].drop_duplicates())
    return f"{count} pairs of models" if len(models) == 2 else f"{count} models"


def _not_paired(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    rows = [
        {
            "model": model,
            "modality_pair": f"{a}-{b}",
            "target": ALL_TARGETS,
            "metric": score_array.metric,
            "failures": failures,
            "margin": options.margins.get(score_array.metric, np.nan),
            "verdict": "inconclusive",
            "status": "no pairs",
            "family": "none",
            "explanation": f"no case has both {a} and {b}",
        }
        | dict.fromkeys(("n", "n_pairs", "excluded", "failed_first", "failed_second"), 0)
        for failures, (a, b), model in product(FAILURE_RULES, MODALITY_PAIRS, score_array.models)
    ]
    return pd.DataFrame(rows)


def _tidy(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the documented columns except dataset and protocol, in their order."""
    return frame.reindex(columns=[name for name in columns if name not in ("dataset", "protocol")])
