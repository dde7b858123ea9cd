"""The frames of paired comparisons: modality against modality within a model, model against model within a modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.paired_tests import judge, pair_figures
from evaluator.analysis.comparison.pairing import NO_FIGURE, arm_of, make_pairs, why_no_figure
from evaluator.analysis.comparison.schema import ALL_TARGETS, MODALITY, MODALITY_PAIRS, MODELS
from evaluator.analysis.comparison.score_array import EXCLUDED, FAILURE_RULES, INCLUDED
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.paired_tests import ComparisonOptions
    from evaluator.analysis.comparison.pairing import Arm, Pairs
    from evaluator.analysis.comparison.score_array import ScoreArray

    Names = Sequence[Mapping[str, str]]

#: comparisons whose scores are laid out at once
_CHUNK = 64
#: what ``judge`` reads
_JUDGED = ("n", "first", "second", "low", "high", "p", "p_equivalence")
#: what it says in words
_WORDS = ("verdict", "status", "explanation")
#: what a row without figures to believe does not show; the means of its arms it does
_FIGURES = [
    "difference", "low", "high", "low_90", "high_90", "shift", "rank_biserial", "wins", "p", "p_sign_flip", "p_holm",
    "p_equivalence", "p_equivalence_holm",
]  # fmt: skip


def compare_modalities(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """Structural minus functional, for each model and target, and each modality_pair that the data have."""
    models = np.arange(len(score_array.models))
    blocks = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        modality_pair = f"{structural}-{functional}"
        both = score_array.has[a] & score_array.has[b]
        names = [{"model": model, "modality_pair": modality_pair} for model in score_array.models]
        if both.any():
            arms = (arm_of(score_array, models, a), arm_of(score_array, models, b))
            block = _blocks(
                score_array, arms, [(structural, functional)] * len(models), names, options
            )
            blocks.append(
                _with_families(
                    block,
                    score_array,
                    f"{score_array.metric}, {modality_pair}",
                    f"{len(models)} models",
                )
            )
    if not blocks:
        blocks = [_not_paired(score_array, options)]
    named = {"first": "mean_structural", "second": "mean_functional"}
    named |= {"failed_first": "failed_structural", "failed_second": "failed_functional"}
    return _tidy(pd.concat(blocks, ignore_index=True).rename(columns=named), MODALITY)


def compare_models(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    """First minus second, for each two models and each target and modality."""
    first, second = np.triu_indices(len(score_array.models), 1)
    blocks = []
    for number, modality in enumerate(MODALITIES):
        if not score_array.has[number].any() or not len(first):
            continue
        parts = []
        for start in range(0, len(first), _CHUNK):
            i, j = first[start : start + _CHUNK], second[start : start + _CHUNK]
            pairs = [
                (score_array.models[a], score_array.models[b]) for a, b in zip(i, j, strict=True)
            ]
            names = [{"model": a, "other": b, "modality": modality} for a, b in pairs]
            arms = (arm_of(score_array, i, number), arm_of(score_array, j, number))
            parts.append(_blocks(score_array, arms, pairs, names, options))
        family = f"{score_array.metric}, {modality}"
        blocks.append(
            _with_families(pd.concat(parts), score_array, family, f"{len(first)} pairs of models")
        )
    named = {
        "first": "mean_model",
        "second": "mean_other",
        "failed_first": "failed_model",
        "failed_second": "failed_other",
    }
    frame = (
        pd.concat(blocks, ignore_index=True).rename(columns=named)
        if blocks
        else pd.DataFrame(columns=list(MODELS))
    )
    return _tidy(frame, MODELS)


def _blocks(
    score_array: ScoreArray,
    arms: tuple[Arm, Arm],
    labels: Sequence[tuple[str, str]],
    names: Names,
    options: ComparisonOptions,
) -> pd.DataFrame:
    """Figures of k comparisons of all targets under both rules for failures, without what a family decides."""
    counted, left_out = (make_pairs(*arms, score_array, failures) for failures in FAILURE_RULES)
    figures = _figures(counted, np.ones(counted.used.size, dtype=bool), score_array, options)
    changed = (left_out.used != counted.used).ravel()
    again = _figures(left_out, changed, score_array, options)  # only those that differ
    without = {name: np.where(changed, again[name], values) for name, values in figures.items()}
    blocks = (
        _block(counted, figures, score_array, labels, names, INCLUDED),
        _block(left_out, without, score_array, labels, names, EXCLUDED),
    )
    return pd.concat(blocks, ignore_index=True)


def _figures(
    pairs: Pairs, wanted: Any, score_array: ScoreArray, options: ComparisonOptions
) -> dict[str, Any]:
    first, second = (arm.reshape(-1, arm.shape[-1])[wanted] for arm in (pairs.first, pairs.second))
    found = pair_figures(first, second, score_array.metric, options)
    spread = {}
    for name, values in found.items():
        spread[name] = np.zeros(len(wanted), values.dtype)
        spread[name][wanted] = values
    return spread


def _block(
    pairs: Pairs,
    figures: dict[str, Any],
    score_array: ScoreArray,
    labels: Sequence[tuple[str, str]],
    names: Names,
    failures: str,
) -> pd.DataFrame:
    targets = (*score_array.targets, ALL_TARGETS)
    frame = pd.DataFrame(figures)
    for column in names[0]:
        frame[column] = [own[column] for own in names for _ in targets]
    frame["target"] = list(targets) * len(names)
    frame["metric"], frame["failures"] = score_array.metric, failures
    frame["n_pairs"], frame["excluded"] = pairs.used.ravel(), pairs.excluded.ravel()
    for arm, failed in zip(("first", "second"), pairs.failed, strict=True):
        frame[f"failed_{arm}"] = failed.ravel()
    reasons = [
        why_no_figure(pairs, k, target, labels[k])
        for k in range(len(names))
        for target in range(len(targets))
    ]
    frame["status"], frame["explanation"] = zip(*reasons, strict=True)
    return frame


def _with_families(
    block: pd.DataFrame, score_array: ScoreArray, family: str, arms: str
) -> pd.DataFrame:
    """Holm and verdicts: targets x models are one family, their means over targets another, under each rule for failures."""
    figures = {name: block[name].to_numpy() for name in _JUDGED}
    reasons = block[["status", "explanation"]].to_numpy(dtype=object)
    under, all_targets = (
        block["failures"].to_numpy(dtype=object),
        (block["target"] == ALL_TARGETS).to_numpy(),
    )
    columns = {name: np.empty(len(block), dtype=object) for name in ("family", *_WORDS)}
    columns |= {name: np.full(len(block), np.nan) for name in ("p_holm", "p_equivalence_holm")}
    for failures in FAILURE_RULES:
        for overall in (False, True):
            rows = np.flatnonzero((under == failures) & (all_targets == overall))
            own = {name: values[rows] for name, values in figures.items()}
            said = judge(own, score_array.metric, [(status, why) for status, why in reasons[rows]])
            over = ALL_TARGETS if overall else f"{len(score_array.targets)} targets"
            tests = said.pop("tests")
            said["family"] = [
                f"{family}, failures {failures}: {over} x {arms}, {count} tests" for count in tests
            ]
            for name, values in said.items():
                columns[name][rows] = values
    block = block.reset_index(drop=True).assign(**columns)
    block[_FIGURES] = block[_FIGURES].mask(block["status"].isin(NO_FIGURE))
    return block


def _not_paired(score_array: ScoreArray, options: ComparisonOptions) -> pd.DataFrame:
    rows = [
        {
            "model": model, "modality_pair": f"{a}-{b}", "target": ALL_TARGETS, "metric": score_array.metric, "failures": failures,
            "n": 0, "n_pairs": 0, "excluded": 0, "failed_first": 0, "failed_second": 0,
            "margin": options.margins.get(score_array.metric, np.nan), "verdict": "inconclusive", "status": "no pairs",
            "family": "none", "explanation": f"no case has both {a} and {b}",
        }
        for failures in FAILURE_RULES
        for a, b in MODALITY_PAIRS
        for model in score_array.models
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _tidy(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The documented columns but dataset and protocol, in their order."""
    return frame.reindex(columns=[name for name in columns if name not in ("dataset", "protocol")])
