"""A linear mixed model with one grouping factor, by restricted maximum likelihood.

Laird and Ware, Biometrics 1982;38:963-974; the profiled criterion as in Bates et al., J Stat Softw
2015;67(1), section 3.4. All sums that depend on the data are computed once for each subject, so a
step of the optimiser takes milliseconds for a thousand subjects. A test compares estimates and
standard errors with those of ``statsmodels``' MixedLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix

    #: factor of the relative covariance -> criterion and its slope
    Criterion = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]

#: steps, relative step of differences, and a slope that is 0 but for rounding
_NEWTON_STEPS, _DIFFERENCE, _FLAT = 6, 1e-4, 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFit:
    """Estimates of a mixed model."""

    #: fixed effects, (p,)
    effects: NDArray[np.float64]
    #: covariance of the fixed effects, (p, p)
    covariance: Matrix
    #: covariance of the random effects, (q, q)
    random: Matrix
    #: residual variance
    residual: float
    converged: bool


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of products of y (N,), X (N, p) and Z (N, q).

    They are over all rows, and for each of S subjects.
    """

    rows: int
    yy: float
    xy: NDArray[np.float64]
    xx: Matrix
    #: (S, q), (S, p, q), (S, q, q)
    zy: Any
    xz: Any
    zz: Any


def fit_reml(
    y: NDArray[np.float64], fixed: Matrix, random: Matrix, subjects: NDArray[np.int64]
) -> MixedFit:
    """Fit y = fixed b + random u + e, with u normal for each subject, independent of e.

    Args:
        y: (N,).
        fixed: (N, p), of full rank.
        random: (N, q).
        subjects: (N,), numbers from 0.

    Raises:
        LinAlgError: the fixed effects are collinear.
    """
    # scaled, so the optimiser works on numbers near 1 whatever the unit
    scale = float(y.std()) or 1.0
    sums = _sums(y / scale, fixed, random, subjects)
    q = random.shape[1]
    triangle = np.tril_indices(q)

    def criterion(factor: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lower = np.zeros((q, q))
        lower[triangle] = factor
        state = _state(lower @ lower.T, sums)
        slope = 2 * _slope(state, sums) @ lower
        return state.criterion / sums.rows, slope[triangle] / sums.rows

    options = {"ftol": 1e-13, "gtol": 1e-7}
    # scores without residual spread lead to infinities, which are not taken for an optimum
    with np.errstate(all="ignore"):
        optimum = scipy.optimize.minimize(
            criterion, np.eye(q)[triangle], jac=True, method="L-BFGS-B", options=options
        )
        factor = _polished(criterion, optimum.x)
        lower = np.zeros((q, q))
        lower[triangle] = factor
        state = _state(lower @ lower.T, sums)
    return MixedFit(
        effects=state.effects * scale,
        covariance=state.inverse * state.residual * scale**2,
        random=lower @ lower.T * state.residual * scale**2,
        residual=state.residual * scale**2,
        converged=bool(np.isfinite(optimum.fun)) and float(np.abs(optimum.jac).max()) < 1e-4,
    )


def _polished(criterion: Criterion, factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton's steps from an optimum of about seven digits to one of about twelve.

    The criterion is flat at its minimum, so the optimiser stops early. The steps seek the zero of
    the slope. A step that does not reduce the slope is not taken.
    """
    slope = criterion(factor)[1]
    for _ in range(_NEWTON_STEPS):
        if not np.isfinite(slope).all() or np.abs(slope).max() <= _FLAT:
            break
        steps = _DIFFERENCE * np.maximum(np.abs(factor), _DIFFERENCE)
        shifts = np.diag(steps)
        curvature = np.stack(
            [
                (criterion(factor + shift)[1] - criterion(factor - shift)[1]) / (2 * step)
                for shift, step in zip(shifts, steps, strict=True)
            ]
        )
        try:
            moved = factor - np.linalg.solve(curvature, slope)
        except np.linalg.LinAlgError:
            break
        new_slope = criterion(moved)[1]
        if not np.abs(new_slope).max() < np.abs(slope).max():
            break
        factor, slope = moved, new_slope
    return factor


def _sums(
    y: NDArray[np.float64], fixed: Matrix, random: Matrix, subjects: NDArray[np.int64]
) -> _Sums:
    order = np.argsort(subjects, kind="stable")
    starts = np.flatnonzero(np.diff(subjects[order], prepend=-1))

    def by_subject(product: Any) -> Any:
        return np.add.reduceat(product[order], starts, axis=0)

    return _Sums(
        len(y),
        float(y @ y),
        fixed.T @ y,
        fixed.T @ fixed,
        by_subject(random * y[:, None]),
        by_subject(fixed[:, :, None] * random[:, None, :]),
        by_subject(random[:, :, None] * random[:, None, :]),
    )


@dataclass(frozen=True, slots=True)
class _State:
    """The fit at one covariance of the random effects relative to the residual variance."""

    #: -2 log restricted likelihood, up to a constant
    criterion: float
    effects: NDArray[np.float64]
    #: covariance of the effects, divided by the residual variance
    inverse: Matrix
    residual: float
    #: (S, q, q) I - Z'Z M
    shrink: Any


def _state(relative: Matrix, sums: _Sums) -> _State:
    """Fit the fixed effects for one relative covariance.

    By Woodbury, a subject's inverse covariance is I - Z M Z' with
    M = relative (I + Z'Z relative)^-1.
    """
    inner = np.eye(len(relative)) + sums.zz @ relative
    m = relative @ np.linalg.inv(inner)
    p = len(sums.xy)
    weighted = (sums.xz @ m).transpose(1, 0, 2).reshape(p, -1)
    precision = sums.xx - weighted @ sums.xz.transpose(1, 0, 2).reshape(p, -1).T
    right = sums.xy - weighted @ sums.zy.ravel()
    squares = sums.yy - float(np.einsum("sq,sqr,sr->", sums.zy, m, sums.zy))
    inverse = np.linalg.inv(precision)
    effects = inverse @ right
    freedom = sums.rows - p
    residual = max(squares - float(right @ effects), 1e-300) / freedom
    logs = np.linalg.slogdet(inner)[1].sum() + np.linalg.slogdet(precision)[1]
    shrink = np.eye(len(relative)) - sums.zz @ m
    return _State(
        freedom * float(np.log(residual)) + float(logs), effects, inverse, residual, shrink
    )


def _slope(state: _State, sums: _Sums) -> Matrix:
    """Derivative of the criterion with respect to the relative covariance, (q, q) symmetric."""
    zvz = (state.shrink @ sums.zz).sum(axis=0)
    zvx = state.shrink @ sums.xz.transpose(0, 2, 1)
    zvr = (state.shrink @ (sums.zy - np.einsum("spq,p->sq", sums.xz, state.effects))[:, :, None])[
        :, :, 0
    ]
    fitted = np.einsum("sqp,srp->qr", zvx @ state.inverse, zvx)
    slope: Matrix = zvz - fitted - zvr.T @ zvr / state.residual
    return (slope + slope.T) / 2
