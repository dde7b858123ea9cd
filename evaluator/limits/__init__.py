"""Floor and ceiling of scores: what a score is worth on the grid that it was measured on.

The floor is the score of an image-blind answer to the same prompt. The ceiling is the score of the
case's finest reference. Neither needs a model.
"""

from evaluator.limits.run_limits import complete_limits, ensure_limits

__all__ = ["complete_limits", "ensure_limits"]
