"""Measures 3D medical segmentation models on paired PET/CT and PET/MRI; the command is ``umd``.

In a notebook: ``results = evaluator.load(run)`` gives the scores as pandas frames (``evaluator.runs.results``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.runs.results import Results
    from evaluator.runs.store import RunStore

__all__ = ["load"]


def load(runs: str | Path | RunStore | Iterable[str | Path | RunStore]) -> Results:
    """The results of one run or many: scores, predictions and facts (``evaluator.runs.results.load``)."""
    from evaluator.runs.results import load as load_results  # pandas only when it is asked for

    return load_results(runs)
