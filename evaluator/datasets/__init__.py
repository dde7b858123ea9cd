"""Datasets: loaded by name or manifest, verified, and generated if they are synthetic."""

from evaluator.datasets.load import (
    dataset_names,
    load_dataset,
    load_dataset_of_run,
    root_for,
    scan_problem,
)

__all__ = [
    "dataset_names",
    "load_dataset",
    "load_dataset_of_run",
    "root_for",
    "scan_problem",
]
