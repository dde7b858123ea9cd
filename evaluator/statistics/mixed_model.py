"""All targets of a model at once: a linear mixed model of subjects, with ranks as the fallback.

score ~ modality * target + (1 + modality | subject), by REML (``evaluator.statistics.reml``).
Targets are coded by sum contrasts, so the modality's coefficient is its effect averaged over
targets, each with equal weight. Tests have the degrees of freedom that are exact where nothing is
missing: t with n - 1, F with k - 1 and (n - 1)(k - 1). Where the model cannot be fitted, ranks are
used, which assume no distribution: Wilcoxon's test on the subjects' mean differences, and
Friedman's test on the differences of the targets (J Am Stat Assoc 1937;32:675-701) of the subjects
that have all targets.
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
    """The modality's effect over all targets; None where an estimate does not exist."""

    method: str
    #: why the mixed model could not be used
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
    """Compare the scores of two modalities over all targets.

    The function never raises for data: what cannot be fitted is tested by ranks, with the reason,
    and what ranks cannot estimate is None.

    Args:
        structural: (n, k) scores of n subjects and k targets; NaN where a target is missing.
        functional: (n, k), likewise.
        resamples: bootstrap samples of the interval by ranks.
        seed: of the bootstrap.
        confidence: level of the interval.
    """
    paired = ~np.isnan(structural) & ~np.isnan(functional)
    subjects, targets = paired.any(axis=1), paired.any(axis=0)
    paired = paired[subjects][:, targets]
    structural, functional = (
        np.where(paired, scores[subjects][:, targets], np.nan)
        for scores in (structural, functional)
    )
    n, k = structural.shape
    base = MixedModelResult(method=MIXED, n=n, targets=k, scores=2 * int(paired.sum()))
    reason = _why_not_fitted(structural - functional)
    if not reason:
        fitted = _mixed(structural, functional, paired, confidence)
        if isinstance(fitted, dict):
            return replace(base, **fitted)
        reason = fitted
    return replace(
        base,
        method=RANKS,
        reason=reason,
        **_ranks(structural - functional, resamples, seed, confidence),
    )


def _why_not_fitted(differences: Matrix) -> str:
    if len(differences) < FEWEST:
        return f"fewer than {FEWEST} subjects"
    if differences.shape[1] < 2:
        return "one target, so subject variance and residual variance cannot be separated"
    if (~np.isnan(differences)).sum() <= differences.shape[1]:
        return "no target is in more than one subject"
    if np.nanstd(differences) <= 1e-12:
        return "all differences are equal"
    return ""


def _mixed(
    structural: Matrix, functional: Matrix, paired: NDArray[np.bool_], confidence: float
) -> dict[str, Any] | str:
    """The mixed model's estimates, or why it could not be fitted."""
    n, k = structural.shape
    subject, target = np.nonzero(paired)
    modality = np.repeat([1.0, 0.0], len(subject))
    contrasts = np.vstack([np.eye(k - 1), -np.ones(k - 1)])[np.concatenate([target, target])]
    fixed = np.column_stack(
        [np.ones_like(modality), modality, contrasts, contrasts * modality[:, None]]
    )
    try:
        fit = fit_reml(
            np.concatenate([structural[paired], functional[paired]]),
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
    interactions = fit.effects[k + 1 :]
    statistic = float(
        interactions @ np.linalg.solve(fit.covariance[k + 1 :, k + 1 :], interactions)
    ) / (k - 1)
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
    complete = differences[~np.isnan(differences).any(axis=1)]
    interaction = None
    if len(complete) >= FEWEST and complete.shape[1] >= 3 and np.ptp(complete, axis=1).any():
        interaction = float(friedmanchisquare(*complete.T).pvalue)
    return {
        "difference": float(means.mean()),
        "low": _number(low),
        "high": _number(high),
        "p": _number(signed_rank_p(means)[0]),
        "p_interaction": interaction,
    }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
