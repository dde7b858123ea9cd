"""Metrics of lesions, uptake and centre lines in a run: where they apply.

Elsewhere their status is "not-applicable". A second scoring gives the same table.
"""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.analysis.summary import summarise
from evaluator.datasets.references import read_uptake
from evaluator.errors import UnknownNameError, VolumeError
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.tables import read_scores
from evaluator.scoring.applicability import applicable_measurements
from evaluator.scoring.rescore import score_run
from evaluator.volumes import write_volume
from tests.conftest import order
from tests.tiny import GRIDS, PAINTER, make_dataset

PROTOCOL = """
id = "everything"
title = "All"
description = "All metrics."
metrics = {metrics}
distance_cap_mm = 100.0
[prompts]
kinds = ["box"]
"""

#: the model fails for one target
FAILING = PAINTER.replace(
    "            mask = np.zeros",
    "            if target.name == 'aorta':\n                raise ValueError('no')\n"
    "            mask = np.zeros",
)


def protocol_file(folder, metrics):
    path = folder / "everything.toml"
    path.write_text(PROTOCOL.format(metrics=list(metrics)))
    return path


@pytest.mark.parametrize("adapter", [PAINTER, FAILING])
def test_a_protocol_may_name_every_metric(project, tmp_path, adapter):
    project({"painter": adapter})
    data = make_dataset(tmp_path / "data", ["s1"], targets=("liver", "aorta", "lesion", "thing"))
    run = order("painter", data, str(protocol_file(tmp_path, METRICS)), engine="local")
    frame = read_scores(run)
    assert len(frame) == 2 * 4 * len(METRICS)
    applied = {
        (row.target, row.modality, METRICS[row.metric].measurement): row.status != "not-applicable"
        for row in frame.itertuples()
    }
    for (target, modality, part), applies in applied.items():
        expected = {
            "lesions": target in ("lesion", "thing"),
            "centre_lines": target in ("aorta", "thing"),
            "uptake": modality == "PT",
            None: True,
        }
        assert applies == expected[part], (target, modality, part)
    assert (frame["value"].isna() == (frame["status"] != "ok")).all()
    aorta = frame[(frame["target"] == "aorta") & (frame["metric"] == "cldice")]
    assert set(aorta["status"]) == ({"ok"} if adapter is PAINTER else {"error"})
    before = (run.path / "scores.csv").read_bytes()
    score_run(run)
    assert (run.path / "scores.csv").read_bytes() == before
    entries = {
        (entry["target"], entry["modality"]): entry
        for entry in summarise(run, metrics=["cldice", "dice"])
    }
    liver = entries["liver", "CT"]
    assert (
        liver["predictions"],
        liver["excluded"],
        liver["mean_over_subjects"],
        liver["metrics"]["dice"]["mean_over_subjects"] is None,
    ) == (
        0,
        1,
        None,
        False,
    )


def test_a_protocol_with_an_unknown_metric_is_refused_before_the_run(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["s1"])
    with pytest.raises(UnknownNameError, match="cldice"):
        order("painter", data, str(protocol_file(tmp_path, ["dice", "cldise"])), engine="local")


def test_only_measurements_of_the_requested_metrics_apply():
    assert applicable_measurements(["dice", "hd95"], "lesion", "SUVbw") == frozenset()
    assert applicable_measurements(["tlg_error", "cldice", "lesion_f1"], "lesion", "HU") == {
        "lesions"
    }
    assert applicable_measurements(["tlg_error", "cldice", "lesion_f1"], "colon", "SUVbw") == {
        "uptake",
        "centre_lines",
    }


def test_an_image_with_infinite_values_is_refused(tmp_path):
    image = np.ones(GRIDS["PT"].shape, np.float32)
    image[0, 0, 0] = np.inf
    write_volume(tmp_path / "a.nii.gz", image, GRIDS["PT"])
    with pytest.raises(VolumeError, match="NaN or infinite values"):
        read_uptake(tmp_path / "a.nii.gz", GRIDS["PT"])
