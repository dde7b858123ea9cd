"""The dataset that a run was made of, if it is here and as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.datasets import load_dataset_of_run
from evaluator.errors import UserError

if TYPE_CHECKING:
    from evaluator.runs.results import RunFacts
    from evaluator.types import Dataset


def dataset_of(run: RunFacts) -> Dataset:
    """Load the dataset of a run.

    Raises:
        UserError: its files are not here, or it has changed since the run was made.
    """
    info = run.info
    try:
        dataset = load_dataset_of_run(info.dataset_source, info.root, info.remembered_root)
    except UserError as error:
        raise UserError(f"the references are not available: {error}") from error
    if dataset.sha256 != run.dataset_sha256:
        raise UserError("the dataset has changed since the run was made")
    return dataset
