"""Datasets: loaded by name or manifest, verified, and generated if they are synthetic."""

from evaluator.datasets.load import dataset_names, load_dataset, scan_problem
from evaluator.datasets.verify import Finding, verify

__all__ = ["Finding", "dataset_names", "load_dataset", "scan_problem", "verify"]
