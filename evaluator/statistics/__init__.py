"""Statistics of scores that are paired within the subject (``docs/statistics.md``).

All are pure functions of arrays and a seed. The unit is always the subject: organs of one subject
resemble each other, and counting them as units would make every interval too narrow.
"""

from evaluator.statistics.agreement import (
    Agreement,
    bland_altman,
    is_proportional,
    ratio_agreement,
)
from evaluator.statistics.covariate_control import without_covariate
from evaluator.statistics.equivalence import (
    ALPHA,
    DIFFERENT,
    DIFFERENT_WITHIN_MARGIN,
    EQUIVALENT,
    INCONCLUSIVE,
    equivalence_p,
    holm,
    smallest_p,
    verdict,
)
from evaluator.statistics.failures import FailurePart, mean_loss, paired_failures
from evaluator.statistics.intervals import FEWEST, mean_intervals
from evaluator.statistics.mixed_model import MixedModelResult, fit_mixed_model
from evaluator.statistics.paired import Paired, compare_pairs
from evaluator.statistics.ranking import Ranking, rank_models
from evaluator.statistics.resampling import RESAMPLES

__all__ = [
    "ALPHA",
    "DIFFERENT",
    "DIFFERENT_WITHIN_MARGIN",
    "EQUIVALENT",
    "FEWEST",
    "INCONCLUSIVE",
    "RESAMPLES",
    "Agreement",
    "FailurePart",
    "MixedModelResult",
    "Paired",
    "Ranking",
    "bland_altman",
    "compare_pairs",
    "equivalence_p",
    "fit_mixed_model",
    "holm",
    "is_proportional",
    "mean_intervals",
    "mean_loss",
    "paired_failures",
    "rank_models",
    "ratio_agreement",
    "smallest_p",
    "verdict",
    "without_covariate",
]
