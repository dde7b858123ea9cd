"""Agreement of two measurements of one quantity: bias and limits of agreement, with intervals.

Bland and Altman, Lancet 1986;327:307-310, and Stat Methods Med Res 1999;8:135-160 for the standard
error of the limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: with fewer subjects no limits of agreement are given
FEWEST = 5
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Bias, limits and their intervals, in the measurements' unit; None where n is too small."""

    n: int
    bias: float
    bias_percent: float | None
    bias_interval: tuple[float, float] | None
    lower: float | None
    lower_interval: tuple[float, float] | None
    upper: float | None
    upper_interval: tuple[float, float] | None


def bland_altman(
    measured: NDArray[np.float64], reference: NDArray[np.float64], confidence: float = 0.95
) -> Agreement:
    """Agreement of n pairs of values, one pair for each subject.

    The limits are bias - 1.96 s and bias + 1.96 s; their standard error is
    s sqrt(1/n + 1.96^2 / (2 (n - 1))), the intervals are t with n - 1 degrees of freedom.
    ``bias_percent`` is the mean of difference divided by mean of the pair.

    Args:
        measured: (n,), n at least 1.
        reference: (n,), in the same unit.
        confidence: level of the intervals.
    """
    differences = measured - reference
    n, bias = len(differences), float(differences.mean())
    middle = (measured + reference) / 2
    positive = middle > 0
    percent = None
    if positive.any():
        percent = float((100 * differences[positive] / middle[positive]).mean())
    if n < FEWEST:
        return Agreement(
            n=n,
            bias=bias,
            bias_percent=percent,
            bias_interval=None,
            lower=None,
            lower_interval=None,
            upper=None,
            upper_interval=None,
        )
    s = float(differences.std(ddof=1))
    quantile = float(scipy.special.stdtrit(n - 1, (1 + confidence) / 2))

    def interval(value: float, error: float) -> tuple[float, float]:
        return value - quantile * error, value + quantile * error

    lower, upper = bias - _Z * s, bias + _Z * s
    error_of_limit = s * np.sqrt(1 / n + _Z**2 / (2 * (n - 1)))
    return Agreement(
        n=n,
        bias=bias,
        bias_percent=percent,
        bias_interval=interval(bias, s / np.sqrt(n)),
        lower=lower,
        lower_interval=interval(lower, error_of_limit),
        upper=upper,
        upper_interval=interval(upper, error_of_limit),
    )


def is_proportional(
    measured: NDArray[np.float64], reference: NDArray[np.float64], level: float = 0.05
) -> bool:
    """Whether the differences grow with the size, so that ratios describe them better.

    The rule: the rank correlation (Spearman) of |measured - reference| with the mean of both is
    positive, with a two-sided p below ``level`` (Bland and Altman 1999, section 3, judge this by
    eye). False below 5 pairs.

    Args:
        measured: (n,).
        reference: (n,), in the same unit.
        level: level of the test.
    """
    sizes = np.abs(measured - reference)
    middle = (measured + reference) / 2
    if len(sizes) < FEWEST or np.ptp(sizes) == 0 or np.ptp(middle) == 0:
        return False
    result = scipy.stats.spearmanr(sizes, middle)
    return bool(result.statistic > 0 and result.pvalue < level)


def ratio_agreement(
    measured: NDArray[np.float64], reference: NDArray[np.float64], confidence: float = 0.95
) -> Agreement | None:
    """Agreement on the log scale, as ratios measured / reference.

    It is ``bland_altman`` of the natural logarithms, exponentiated: ``bias`` is the geometric mean
    of the ratios, and the limits hold for a ratio. Pairs in which one value is not positive have
    no logarithm and are left out; ``n`` counts the others.

    Args:
        measured: (n,).
        reference: (n,), in the same unit.
        confidence: level of the intervals.

    Returns:
        None if no pair is left.
    """
    positive = (measured > 0) & (reference > 0)
    if not positive.any():
        return None
    logs = bland_altman(np.log(measured[positive]), np.log(reference[positive]), confidence)
    return Agreement(
        n=logs.n,
        bias=float(np.exp(logs.bias)),
        bias_percent=100 * (float(np.exp(logs.bias)) - 1),
        bias_interval=_exponentiated(logs.bias_interval),
        lower=None if logs.lower is None else float(np.exp(logs.lower)),
        lower_interval=_exponentiated(logs.lower_interval),
        upper=None if logs.upper is None else float(np.exp(logs.upper)),
        upper_interval=_exponentiated(logs.upper_interval),
    )


def _exponentiated(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    if interval is None:
        return None
    return float(np.exp(interval[0])), float(np.exp(interval[1]))
