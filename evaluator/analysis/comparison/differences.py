"""The frames of paired comparisons: modality against modality within a model, model against model within a modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.paired_tests import judge, pair_figures
from evaluator.analysis.comparison.pairing import NO_FIGURE, make_pairs, side_of, why_no_figure
from evaluator.analysis.comparison.schema import ALL_TARGETS, MODALITY, MODALITY_PAIRS, MODELS
from evaluator.analysis.comparison.score_array import COUNTED, FAILURES, LEFT_OUT
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.paired_tests import Setting
    from evaluator.analysis.comparison.pairing import Pairs, Side
    from evaluator.analysis.comparison.score_array import Cube

    Names = Sequence[Mapping[str, str]]

#: comparisons whose scores are laid out at once
_CHUNK = 64
#: what ``judge`` reads
_JUDGED = ("n", "first", "second", "low", "high", "p", "p_equivalence")
#: what it says in words
_WORDS = ("verdict", "status", "explanation")
#: what a row without figures to believe does not show; the means of its sides it does
_FIGURES = [
    "difference", "low", "high", "low_90", "high_90", "shift", "rank_biserial", "wins", "p", "p_sign_flip", "p_holm",
    "p_equivalence", "p_equivalence_holm",
]  # fmt: skip


def compare_modalities(cube: Cube, setting: Setting) -> pd.DataFrame:
    """Structural minus functional, for each model and target, and each modality_pair that the data have."""
    models = np.arange(len(cube.models))
    blocks = []
    for structural, functional in MODALITY_PAIRS:
        a, b = MODALITIES.index(structural), MODALITIES.index(functional)
        modality_pair = f"{structural}-{functional}"
        both = cube.has[a] & cube.has[b]
        names = [{"model": model, "modality_pair": modality_pair} for model in cube.models]
        if both.any():
            sides = (side_of(cube, models, a), side_of(cube, models, b))
            block = _blocks(cube, sides, [(structural, functional)] * len(models), names, setting)
            blocks.append(
                _with_families(
                    block, cube, f"{cube.metric}, {modality_pair}", f"{len(models)} models"
                )
            )
    if not blocks:
        blocks = [_not_paired(cube, setting)]
    named = {"first": "mean_structural", "second": "mean_functional"}
    named |= {"failed_first": "failed_structural", "failed_second": "failed_functional"}
    return _tidy(pd.concat(blocks, ignore_index=True).rename(columns=named), MODALITY)


def compare_models(cube: Cube, setting: Setting) -> pd.DataFrame:
    """First minus second, for each two models and each target and modality."""
    first, second = np.triu_indices(len(cube.models), 1)
    blocks = []
    for number, modality in enumerate(MODALITIES):
        if not cube.has[number].any() or not len(first):
            continue
        parts = []
        for start in range(0, len(first), _CHUNK):
            i, j = first[start : start + _CHUNK], second[start : start + _CHUNK]
            pairs = [(cube.models[a], cube.models[b]) for a, b in zip(i, j, strict=True)]
            names = [{"model": a, "other": b, "modality": modality} for a, b in pairs]
            sides = (side_of(cube, i, number), side_of(cube, j, number))
            parts.append(_blocks(cube, sides, pairs, names, setting))
        family = f"{cube.metric}, {modality}"
        blocks.append(
            _with_families(pd.concat(parts), cube, family, f"{len(first)} pairs of models")
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
    cube: Cube,
    sides: tuple[Side, Side],
    labels: Sequence[tuple[str, str]],
    names: Names,
    setting: Setting,
) -> pd.DataFrame:
    """Figures of k comparisons of all targets under both rules for failures, without what a family decides."""
    counted, left_out = (make_pairs(*sides, cube, failures) for failures in FAILURES)
    figures = _figures(counted, np.ones(counted.used.size, dtype=bool), cube, setting)
    changed = (left_out.used != counted.used).ravel()
    again = _figures(left_out, changed, cube, setting)  # only those that differ
    without = {name: np.where(changed, again[name], values) for name, values in figures.items()}
    blocks = (
        _block(counted, figures, cube, labels, names, COUNTED),
        _block(left_out, without, cube, labels, names, LEFT_OUT),
    )
    return pd.concat(blocks, ignore_index=True)


def _figures(pairs: Pairs, wanted: Any, cube: Cube, setting: Setting) -> dict[str, Any]:
    first, second = (
        side.reshape(-1, side.shape[-1])[wanted] for side in (pairs.first, pairs.second)
    )
    found = pair_figures(first, second, cube.metric, setting)
    spread = {}
    for name, values in found.items():
        spread[name] = np.zeros(len(wanted), values.dtype)
        spread[name][wanted] = values
    return spread


def _block(
    pairs: Pairs,
    figures: dict[str, Any],
    cube: Cube,
    labels: Sequence[tuple[str, str]],
    names: Names,
    failures: str,
) -> pd.DataFrame:
    targets = (*cube.targets, ALL_TARGETS)
    frame = pd.DataFrame(figures)
    for column in names[0]:
        frame[column] = [own[column] for own in names for _ in targets]
    frame["target"] = list(targets) * len(names)
    frame["metric"], frame["failures"] = cube.metric, failures
    frame["n_pairs"], frame["excluded"] = pairs.used.ravel(), pairs.excluded.ravel()
    for side, failed in zip(("first", "second"), pairs.failed, strict=True):
        frame[f"failed_{side}"] = failed.ravel()
    reasons = [
        why_no_figure(pairs, k, target, labels[k])
        for k in range(len(names))
        for target in range(len(targets))
    ]
    frame["status"], frame["explanation"] = zip(*reasons, strict=True)
    return frame


def _with_families(block: pd.DataFrame, cube: Cube, family: str, sides: str) -> pd.DataFrame:
    """Holm and verdicts: targets x models are one family, their means over targets another, under each rule for failures."""
    figures = {name: block[name].to_numpy() for name in _JUDGED}
    reasons = block[["status", "explanation"]].to_numpy(dtype=object)
    under, all_targets = (
        block["failures"].to_numpy(dtype=object),
        (block["target"] == ALL_TARGETS).to_numpy(),
    )
    columns = {name: np.empty(len(block), dtype=object) for name in ("family", *_WORDS)}
    columns |= {name: np.full(len(block), np.nan) for name in ("p_holm", "p_equivalence_holm")}
    for failures in FAILURES:
        for overall in (False, True):
            rows = np.flatnonzero((under == failures) & (all_targets == overall))
            own = {name: values[rows] for name, values in figures.items()}
            said = judge(own, cube.metric, [(status, why) for status, why in reasons[rows]])
            over = ALL_TARGETS if overall else f"{len(cube.targets)} targets"
            tests = said.pop("tests")
            said["family"] = [
                f"{family}, failures {failures}: {over} x {sides}, {count} tests" for count in tests
            ]
            for name, values in said.items():
                columns[name][rows] = values
    block = block.reset_index(drop=True).assign(**columns)
    block[_FIGURES] = block[_FIGURES].mask(block["status"].isin(NO_FIGURE))
    return block


def _not_paired(cube: Cube, setting: Setting) -> pd.DataFrame:
    rows = [
        {
            "model": model, "modality_pair": f"{a}-{b}", "target": ALL_TARGETS, "metric": cube.metric, "failures": failures,
            "n": 0, "n_pairs": 0, "excluded": 0, "failed_first": 0, "failed_second": 0,
            "margin": setting.margins.get(cube.metric, np.nan), "verdict": "cannot say", "status": "no pairs",
            "family": "none", "explanation": f"no case has both {a} and {b}",
        }
        for failures in FAILURES
        for a, b in MODALITY_PAIRS
        for model in cube.models
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _tidy(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The documented columns but dataset and protocol, in their order."""
    return frame.reindex(columns=[name for name in columns if name not in ("dataset", "protocol")])
