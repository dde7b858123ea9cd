"""The steps of resolution between CT and PET, and their page in the report."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.resolution import COLUMNS, has_steps, resolution_steps
from evaluator.manifests.protocols import load_protocol
from evaluator.report import Options, build_report
from tests.conftest import order
from tests.scored import facts, results
from tests.tiny import PAINTER, make_dataset

PROTOCOL = load_protocol("robust-resolution")


def cohort(n=8):
    """CT loses 0.05 on PET's grid, 0.1 more by the blur, and PET another 0.2."""
    rng = np.random.default_rng(0)
    run = facts("m", protocol="robust-resolution")
    rows = []
    for number in range(n):
        level = rng.normal(0.9, 0.02)
        by_scan = {("CT", 0): 0.0, ("CT", 1): 0.05, ("CT", 2): 0.15}
        by_scan |= {("PT", seed): 0.35 for seed in (0, 1, 2)}
        for (modality, seed), loss in by_scan.items():
            more = {"seed": seed}
            rows.append((run, f"s{number}", modality, "lesion", "dice", level - loss, more))
    return results([run], rows)


def test_only_protocols_with_pets_grid_have_steps():
    assert has_steps(PROTOCOL)
    assert not has_steps(load_protocol("robust-box"))
    assert not has_steps(load_protocol("box-common-grid"))


def test_each_step_has_its_change():
    frame = resolution_steps(cohort().scores, PROTOCOL, "dice", ["m"])
    assert list(frame.columns) == list(COLUMNS)
    rows = frame[frame["target"] == "lesion"]
    assert list(rows["image"]) == [
        "CT",
        "CT at PET's grid",
        "CT at PET's grid, blurred by 6 mm",
        "PET",
    ]
    assert rows["change"].iloc[0] != rows["change"].iloc[0]
    assert list(rows["change"].iloc[1:]) == pytest.approx([-0.05, -0.1, -0.2])
    assert (rows["n"] == 8).all()
    total = rows["mean"].iloc[-1] - rows["mean"].iloc[0]
    assert total == pytest.approx(rows["change"].iloc[1:].sum())


def test_a_comparison_is_of_the_images_on_their_own_grids():
    rows = compare(cohort(), metrics=["dice"], resamples=99).modality
    row = rows[(rows["target"] == "lesion") & (rows["failures"] == "counted")].iloc[0]
    assert row["difference"] == pytest.approx(0.35)
    assert row["n_pairs"] == 8


def test_the_report_has_the_page(project, tmp_path):
    project({"painter": PAINTER}, prompts="box")
    data = make_dataset(tmp_path / "data", ["a", "b"])
    run = order("painter", data, "robust-resolution", engine="local")
    build_report([run.path], tmp_path / "site", Options(title="steps", images=False))
    page = (tmp_path / "site" / "resolution.html").read_text()
    assert "blurred by 6 mm" in page
    assert "How much of the difference is resolution" in page
