"""All targets of a model jointly: a linear mixed model of subjects, and ranks where that cannot be fitted.

score ~ modality * target + (1 + modality | subject), by REML (``evaluator.statistics.reml``). Targets are coded by sum
contrasts, so that the modality's coefficient is its effect averaged over targets, each with equal weight. Tests have the
degrees of freedom that are exact where nothing is missing: t with n - 1, F with k - 1 and (n - 1)(k - 1). The fallback has no distribution: Wilcoxon's test on the subjects' mean differences, and Friedman's on the
differences of the targets (J Am Stat Assoc 1937;32:675-701) of the subjects that have all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import f, friedmanchisquare, t

from evaluator.statistics.intervals import FEWEST, mean_intervals
from evaluator.statistics.paired import signed_rank_p
from evaluator.statistics.reml import fit_reml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

MIXED, RANKS = "mixed model", "ranks"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedModelResult:
    """The modality's effect over all targets; None where there is no such figure."""

    method: str
    #: why the method is not the mixed model
    reason: str = ""
    n: int
    scores: int
    targets: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_interaction: float | None = None
    sd_subject: float | None = None
    sd_modality: float | None = None
    sd_residual: float | None = None


def fit_mixed_model(
    structural: Matrix, functional: Matrix, *, resamples: int, seed: int, confidence: float = 0.95
) -> MixedModelResult:
    """Compare scores (n, k) of n subjects and k targets, NaN where a subject lacks a target on either image.

    Never raises for data: what cannot be fitted goes to ranks, with the reason, and what these cannot say is None.
    """
    both = ~np.isnan(structural) & ~np.isnan(functional)
    subjects, targets = both.any(axis=1), both.any(axis=0)
    both = both[subjects][:, targets]
    structural, functional = (
        np.where(both, part[subjects][:, targets], np.nan) for part in (structural, functional)
    )
    n, k = structural.shape
    base = MixedModelResult(method=MIXED, n=n, targets=k, scores=2 * int(both.sum()))
    reason = _unfit(structural - functional)
    if not reason:
        fitted = _mixed(structural, functional, both, confidence)
        if isinstance(fitted, dict):
            return replace(base, **fitted)
        reason = fitted
    return replace(
        base,
        method=RANKS,
        reason=reason,
        **_ranks(structural - functional, resamples, seed, confidence),
    )


def _unfit(differences: Matrix) -> str:
    if len(differences) < FEWEST:
        return f"fewer than {FEWEST} subjects"
    if differences.shape[1] < 2:
        return "one target, so that subjects and errors cannot be told apart"
    if (~np.isnan(differences)).sum() <= differences.shape[1]:
        return "no target is in more subjects than one"
    if np.nanstd(differences) <= 1e-12:
        return "all differences are equal"
    return ""


def _mixed(
    structural: Matrix, functional: Matrix, both: NDArray[np.bool_], confidence: float
) -> dict[str, Any] | str:
    """The mixed model's figures, or why there are none."""
    n, k = structural.shape
    subject, target = np.nonzero(both)
    modality = np.repeat([1.0, 0.0], len(subject))
    contrasts = np.vstack([np.eye(k - 1), -np.ones(k - 1)])[np.concatenate([target, target])]
    fixed = np.column_stack(
        [np.ones_like(modality), modality, contrasts, contrasts * modality[:, None]]
    )
    try:
        fit = fit_reml(
            np.concatenate([structural[both], functional[both]]),
            fixed,
            np.column_stack([np.ones_like(modality), modality]),
            np.concatenate([subject, subject]),
        )
    except np.linalg.LinAlgError as error:
        return f"the mixed model could not be fitted ({error})"
    if not fit.converged:
        return "the mixed model did not converge"
    if not np.isfinite(fit.covariance).all() or (np.diag(fit.covariance) <= 0).any():
        return "the mixed model has no finite standard errors"
    effect, deviation = float(fit.effects[1]), float(np.sqrt(fit.covariance[1, 1]))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * deviation
    differing = fit.effects[k + 1 :]
    statistic = float(differing @ np.linalg.solve(fit.covariance[k + 1 :, k + 1 :], differing)) / (
        k - 1
    )
    return {
        "difference": effect,
        "low": effect - half,
        "high": effect + half,
        "p": float(2 * t.sf(abs(effect) / deviation, n - 1)),
        "p_interaction": float(f.sf(statistic, k - 1, (n - 1) * (k - 1))),
        "sd_subject": float(np.sqrt(fit.random[0, 0])),
        "sd_modality": float(np.sqrt(fit.random[1, 1])),
        "sd_residual": float(np.sqrt(fit.residual)),
    }


def _ranks(differences: Matrix, resamples: int, seed: int, confidence: float) -> dict[str, Any]:
    if differences.size == 0:
        return {}
    means = np.nanmean(differences, axis=1, keepdims=True)
    low, high = mean_intervals(means, (confidence,), resamples=resamples, seed=seed)[0][:, 0]
    full = differences[~np.isnan(differences).any(axis=1)]
    interaction = None
    if len(full) >= FEWEST and full.shape[1] >= 3 and np.ptp(full, axis=1).any():
        interaction = float(friedmanchisquare(*full.T).pvalue)
    return {
        "difference": float(means.mean()),
        "low": _number(low),
        "high": _number(high),
        "p": _number(signed_rank_p(means)[0]),
        "p_interaction": interaction,
    }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
