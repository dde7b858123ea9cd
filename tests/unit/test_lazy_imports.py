"""Commands import only what they use: a table of results needs no compiler and no DICOM reader."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"SimpleITK", "docker", "matplotlib", "numba", "pydicom", "scipy.optimize", "scipy.stats"}


@pytest.mark.parametrize(
    ("modules", "allowed"),
    [
        ("evaluator.cli.main", set()),
        ("evaluator.metrics.metric_table, evaluator.metrics.registry", set()),
        ("evaluator.analysis.summary, evaluator.analysis.run_header", set()),
        ("evaluator.evaluation.resolve, evaluator.evaluation.run", {"numba"}),
    ],
)
def test_heavy_packages_are_imported_when_they_are_used(modules, allowed):
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY & set(loaded) <= allowed


def test_pydicom_can_be_imported_after_nibabel():
    code = "import evaluator.volumes, pydicom; print(pydicom.dcmread.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "dcmread\n"
