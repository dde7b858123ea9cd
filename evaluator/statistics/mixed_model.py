"""All targets of a model at once: a linear mixed model of subjects, with ranks as the fallback.

score ~ modality * target + (1 + modality | subject), by REML (``evaluator.statistics.reml``).
Targets are coded by sum contrasts, so the modality's coefficient is its effect averaged over
targets, each with equal weight. Tests have the degrees of freedom that are exact where nothing is
missing: t with n - 1, F with k - 1 and (n - 1)(k - 1). Where the model cannot be fitted, tests are
used that assume no distribution: the sign-flip test of the subjects' mean differences, and
Friedman's test by ranks on the differences of the targets (J Am Stat Assoc 1937;32:675-701) of the
subjects that have all targets. The interval allows for failures that were not seen as that of the
subjects' mean differences does (``evaluator.statistics.failures``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from scipy.special import fdtrc, stdtr, stdtrit

from evaluator.statistics.equivalence import equivalence_by_error
from evaluator.statistics.failures import failure_equivalence_p, failure_intervals
from evaluator.statistics.intervals import FEWEST, mean_intervals
from evaluator.statistics.reml import fit_reml
from evaluator.statistics.sign_flips import sign_flip_p, without_rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.statistics.failures import FailurePart
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
    #: interval of the difference; with failures it allows for those that were not seen
    low: float | None = None
    high: float | None = None
    low_observed: float | None = None
    high_observed: float | None = None
    #: of no difference
    p: float | None = None
    #: of a difference beyond the margin, with and without the allowance for failures
    p_equivalence: float | None = None
    p_equivalence_observed: float | None = None
    p_interaction: float | None = None
    sd_subject: float | None = None
    sd_modality: float | None = None
    sd_residual: float | None = None


def fit_mixed_model(
    structural: Matrix,
    functional: Matrix,
    *,
    resamples: int,
    seed: int,
    confidence: float = 0.95,
    failures: Sequence[FailurePart] = (),
    margin: float = float("nan"),
) -> MixedModelResult:
    """Compare the scores of two modalities over all targets.

    The function never raises for data: what cannot be fitted is tested without a model, with the
    reason, and what cannot be estimated is None.

    Args:
        structural: (n, k) scores of n subjects and k targets; NaN where a target is missing.
        functional: (n, k), likewise.
        resamples: bootstrap samples of the interval without a model.
        seed: of the bootstrap.
        confidence: level of the interval.
        failures: kinds of failure of the subjects' mean differences, (n', 1) for the n' subjects
            that have a pair, in their order; empty: no allowance is made.
        margin: of equivalence; NaN: none.
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
    differences = structural - functional
    reason = _why_not_fitted(differences)
    estimates: dict[str, Any] | str = reason
    if not reason:
        estimates = _mixed(structural, functional, paired, confidence, margin)
    if isinstance(estimates, str):
        scale = np.nanmax(np.abs([structural, functional])) if differences.size else 0.0
        base = replace(base, method=RANKS, reason=estimates)
        estimates = _ranks(differences, scale, (resamples, seed, confidence), margin)
    return _allow(replace(base, **estimates), differences, failures, confidence, margin)


def _allow(
    result: MixedModelResult,
    differences: Matrix,
    failures: Sequence[FailurePart],
    confidence: float,
    margin: float,
) -> MixedModelResult:
    """Widen the interval, and raise the p of equivalence, to allow for failures.

    The reach is that of the subjects' mean differences, about the result's own estimate.
    """
    result = replace(
        result,
        low_observed=result.low,
        high_observed=result.high,
        p_equivalence_observed=result.p_equivalence,
    )
    if not failures or result.difference is None or result.low is None or result.high is None:
        return result
    means = np.nanmean(differences, axis=1, keepdims=True)
    moved = means - means.mean() + result.difference
    low, high = failure_intervals(moved, failures, (confidence,))[0][:, 0]
    p_equivalence = result.p_equivalence
    if p_equivalence is not None:
        allowed = failure_equivalence_p(moved, failures, np.array([margin]))[0]
        p_equivalence = max(p_equivalence, float(allowed))
    return replace(
        result,
        low=min(result.low, float(low)),
        high=max(result.high, float(high)),
        p_equivalence=p_equivalence,
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
    structural: Matrix,
    functional: Matrix,
    paired: NDArray[np.bool_],
    confidence: float,
    margin: float,
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
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation
    interactions = fit.effects[k + 1 :]
    statistic = float(
        interactions @ np.linalg.solve(fit.covariance[k + 1 :, k + 1 :], interactions)
    ) / (k - 1)
    return {
        "difference": effect,
        "low": effect - half,
        "high": effect + half,
        "p": float(2 * stdtr(n - 1, -abs(effect) / deviation)),
        "p_equivalence": _equivalence(effect, deviation, n, margin),
        "p_interaction": float(fdtrc(k - 1, (n - 1) * (k - 1), statistic)),
        "sd_subject": float(np.sqrt(fit.random[0, 0])),
        "sd_modality": float(np.sqrt(fit.random[1, 1])),
        "sd_residual": float(np.sqrt(fit.residual)),
    }


def _ranks(
    differences: Matrix, scale: float, bootstrap: tuple[int, int, float], margin: float
) -> dict[str, Any]:
    if differences.size == 0:
        return {}
    resamples, seed, confidence = bootstrap
    n = len(differences)
    means = np.nanmean(differences, axis=1, keepdims=True)
    means = without_rounding(means, np.array([scale]))
    low, high = mean_intervals(means, (confidence,), resamples=resamples, seed=seed)[0][:, 0]
    complete = differences[~np.isnan(differences).any(axis=1)]
    interaction = None
    if len(complete) >= FEWEST and complete.shape[1] >= 3 and np.ptp(complete, axis=1).any():
        interaction = float(scipy.stats.friedmanchisquare(*complete.T).pvalue)
    p_equivalence = None
    if n >= FEWEST:
        error = float(means.std(ddof=1) / np.sqrt(n))
        p_equivalence = _equivalence(float(means.mean()), error, n, margin)
    return {
        "difference": float(means.mean()),
        "low": _number(low),
        "high": _number(high),
        "p": _number(sign_flip_p(means)[0]),
        "p_equivalence": p_equivalence,
        "p_interaction": interaction,
    }


def _equivalence(effect: float, error: float, n: int, margin: float) -> float | None:
    return _number(
        equivalence_by_error(np.array([effect]), np.array([error]), n, np.array([margin]))[0]
    )


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
