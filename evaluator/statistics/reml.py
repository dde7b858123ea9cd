"""A linear mixed model with one grouping factor, by restricted maximum likelihood.

Laird and Ware, Biometrics 1982;38:963-974; the profiled criterion as in Bates et al., J Stat Softw 2015;67(1), section 3.4.
All that depends on the data is summed once for each subject, so that a step of the optimiser costs a millisecond for a
thousand subjects; estimates and standard errors are those of ``statsmodels``' MixedLM (held by test).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.statistics.resampling import Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedFit:
    """Fixed effects (p,) with their covariance (p, p), the random effects' covariance (q, q), the residual variance."""

    effects: NDArray[np.float64]
    covariance: Matrix
    random: Matrix
    residual: float
    converged: bool


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of y (N,), X (N, p) and Z (N, q): over all rows, and for each of S subjects."""

    rows: int
    yy: float
    xy: NDArray[np.float64]
    xx: Matrix
    #: (S, q), (S, p, q), (S, q, q)
    zy: Any
    xz: Any
    zz: Any


def fit_reml(y: NDArray[np.float64], fixed: Matrix, random: Matrix, subjects: NDArray[np.int64]) -> MixedFit:
    """Fit y = fixed b + random u + e, with u normal of each subject, independent of e.

    ``y`` is (N,), ``fixed`` (N, p) of full rank, ``random`` (N, q), ``subjects`` (N,) has numbers from 0. Raises
    LinAlgError where the fixed effects cannot be told apart.
    """
    scale = float(y.std()) or 1.0  # the optimiser sees figures near 1, whatever the unit
    sums = _sums(y / scale, fixed, random, subjects)
    q = random.shape[1]
    triangle = np.tril_indices(q)
    start = np.eye(q)[triangle]
    # without derivatives, as a variance may well be 0
    options = {"xatol": 1e-5, "fatol": 1e-7, "maxfev": 2000}
    found = minimize(
        lambda factor: _criterion(_relative(factor, q), sums)[0], start, method="Nelder-Mead", options=options
    )
    relative = _relative(found.x, q)
    _, effects, inverse, residual = _criterion(relative, sums)
    return MixedFit(
        effects=effects * scale,
        covariance=inverse * residual * scale**2,
        random=relative * residual * scale**2,
        residual=residual * scale**2,
        converged=bool(found.success) and bool(np.isfinite(found.fun)),
    )


def _sums(y: NDArray[np.float64], fixed: Matrix, random: Matrix, subjects: NDArray[np.int64]) -> _Sums:
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


def _relative(factor: NDArray[np.float64], q: int) -> Matrix:
    """The random effects' covariance by the residual variance, from its lower triangular factor."""
    lower = np.zeros((q, q))
    lower[np.tril_indices(q)] = factor
    return lower @ lower.T


def _criterion(relative: Matrix, sums: _Sums) -> tuple[float, NDArray[np.float64], Matrix, float]:
    """-2 log restricted likelihood but for a constant, with the fixed effects, their covariance' inverse part, and variance.

    By Woodbury, a subject's inverse covariance is I - Z M Z' with M = relative (I + Z'Z relative)^-1.
    """
    inner = np.eye(len(relative)) + sums.zz @ relative
    m = relative @ np.linalg.inv(inner)
    xzm = sums.xz @ m
    p = len(sums.xy)
    precision = sums.xx - np.einsum("spq,srq->pr", xzm, sums.xz, optimize=True)
    right = sums.xy - np.einsum("spq,sq->p", xzm, sums.zy)
    squares = sums.yy - np.einsum("sq,sqr,sr->", sums.zy, m, sums.zy, optimize=True)
    inverse = np.linalg.inv(precision)
    effects = inverse @ right
    freedom = sums.rows - p
    residual = float(max(squares - right @ effects, 1e-300) / freedom)
    logs = np.linalg.slogdet(inner)[1].sum() + np.linalg.slogdet(precision)[1]
    return freedom * np.log(residual) + float(logs), effects, inverse, residual
