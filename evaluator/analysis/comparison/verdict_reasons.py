"""What a comparison's numbers allow to say: why a result is inconclusive, and what would help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evaluator.statistics import ALPHA, smallest_p
from evaluator.statistics.sample_size import subjects_for_tests, subjects_without_failure

#: values of the column ``verdict_reason``
TOO_FEW = "too few subjects"
TOO_NOISY = "too noisy"
BETWEEN = "between margin and zero"
HOLDS_ZERO = "interval holds 0"
NEITHER_WORKS = "neither arm works"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """The numbers of one comparison that explain its verdict; NaN where there is none."""

    n: int
    #: size of the family
    tests: int
    verdict: str
    p: float
    p_sign_flip: float
    low: float
    high: float
    low_observed: float
    high_observed: float
    low_90_observed: float
    high_90_observed: float
    margin: float
    #: what a failure costs, the larger one of both arms; 0: no allowance was made
    loss: float
    #: subjects for the margin by the observed spread: estimate and interval
    needed: tuple[float, float, float]

    @property
    def smallest(self) -> float:
        """The smallest adjusted p that so many subjects and tests allow."""
        return min(1.0, self.tests * smallest_p(self.n))

    @property
    def holds_zero(self) -> bool:
        """The interval of the mean holds 0."""
        return self.low <= 0 <= self.high

    @property
    def within_margin_as_observed(self) -> bool:
        """The 90 % interval by the observed spread lies within the margin."""
        return -self.margin < self.low_90_observed and self.high_90_observed < self.margin


def explain_verdict(row: JudgedRow) -> tuple[str, str]:
    """Explain a verdict of at least five subjects.

    Returns:
        ``verdict_reason`` and a sentence; either may be empty.
    """
    if row.verdict.startswith("different"):
        return _of_difference(row)
    if row.verdict == "equivalent":
        return "", ""
    reason, sentence = _of_inconclusive(row)
    return reason, "; ".join(filter(None, (sentence, _typical_subject(row))))


def _of_difference(row: JudgedRow) -> tuple[str, str]:
    """A difference beside an interval that holds 0 is always explained."""
    typical = ""
    if row.p > ALPHA:
        typical = f"the mean differs, a typical subject need not (Wilcoxon p {_short(row.p)})"
    if not row.holds_zero:
        return "", typical
    if row.low_observed <= 0 <= row.high_observed:
        sentence = "the sign-flip test finds a difference, the interval of the mean holds 0"
    else:
        observed = f"{_short(row.low_observed)} to {_short(row.high_observed)}"
        sentence = (
            f"different if failures are as rare as among these {row.n} subjects ({observed}); the "
            "interval also allows for failures that were not seen, and so holds 0"
        )
    return HOLDS_ZERO, "; ".join(filter(None, (sentence, typical)))


def _of_inconclusive(row: JudgedRow) -> tuple[str, str]:
    if row.smallest > ALPHA:
        tests = "1 test" if row.tests == 1 else f"{row.tests} tests"
        return TOO_FEW, (
            f"{row.n} subjects, {tests}: the smallest adjusted p is {_short(row.smallest, 2)}; "
            f"{_could_reach(row.tests)}"
        )
    if row.loss and row.within_margin_as_observed and row.p_sign_flip > ALPHA:
        return TOO_FEW, _unseen(row)
    half = (row.high_observed - row.low_observed) / 2
    if half < row.margin:
        return BETWEEN, f"the difference may be 0 or as large as the margin; {_needed(row)}"
    return TOO_NOISY, _needed(row)


def _could_reach(tests: int) -> str:
    enough = subjects_for_tests(tests)
    return f"{enough} subjects could reach {_short(tests * smallest_p(enough), 2)}"


def _unseen(row: JudgedRow) -> str:
    half_width = (row.high_90_observed - row.low_90_observed) / 2
    enough = subjects_without_failure(row.margin, row.loss, half_width, row.n, row.tests)
    text = f"equivalent if failures are as rare as among these {row.n} subjects"
    return text if enough is None else f"{text}; about {enough} without a failure would show it"


def _needed(row: JudgedRow) -> str:
    needed, low, high = row.needed
    if math.isnan(needed):
        return "no margin is declared, so no number of subjects can be stated"
    return (
        f"about {needed:.0f} subjects ({low:.0f} to {high:.0f}) would find a difference of "
        f"{row.margin:g} in 80 % of studies"
    )


def _typical_subject(row: JudgedRow) -> str:
    """A p of the typical subject that the mean does not share is never silent."""
    if row.p <= ALPHA < row.p_sign_flip:
        return (
            f"a typical subject differs (Wilcoxon p {_short(row.p)}), the mean need not "
            f"(sign-flip p {_short(row.p_sign_flip)})"
        )
    if min(row.p, row.p_sign_flip) <= ALPHA and row.holds_zero:
        return "p is below 0.05 before the adjustment; the interval of the mean holds 0"
    return ""


def _short(value: float, digits: int = 3) -> str:
    if 0 < abs(value) < 0.5 * 10**-digits:
        return f"below {10**-digits:g}" if value > 0 else f"{value:.1g}"
    return f"{value:.{digits}f}"
