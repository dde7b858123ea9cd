"""Datasets: loaded by name or manifest, verified, and generated if they are synthetic."""

from evaluator.datasets.load import (
    dataset_names,
    load_dataset,
    load_dataset_of_run,
    root_for,
    scan_problem,
)
from evaluator.datasets.verify import check_cases, verify
from evaluator.findings import Finding

__all__ = [
    "Finding",
    "check_cases",
    "dataset_names",
    "load_dataset",
    "load_dataset_of_run",
    "root_for",
    "scan_problem",
    "verify",
]
