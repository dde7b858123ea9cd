"""evaluator.score: scores of mask files as a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import evaluator
from evaluator.errors import UnknownNameError, UserError, VolumeError
from evaluator.imaging.geometry import make_grid
from evaluator.scoring.score_table import COLUMNS
from evaluator.volumes import write_volume

GRID = make_grid((8, 7, 6), np.diag([1.0, 2.0, 3.0, 1.0]))


def write_labels(path: Path, *, shift: int = 0, grid=GRID) -> Path:
    labels = np.zeros(grid.shape, np.uint8)
    labels[2 + shift : 5 + shift, 2:5, 2:4] = 1
    labels[2:4, 5:, 4:] = 2
    path.parent.mkdir(exist_ok=True)
    write_volume(path, labels, grid)
    return path


def test_two_files_with_names_of_labels(tmp_path):
    reference = write_labels(tmp_path / "reference.nii.gz")
    prediction = write_labels(tmp_path / "prediction.nii.gz", shift=1)
    scores = evaluator.score(
        prediction,
        str(reference),
        labels={"liver": 1, "spleen": [2], "brain": (3,)},
        metrics=["dice", "hd"],
        tolerance_mm=1,
    )
    assert tuple(scores.columns) == COLUMNS
    rows = scores.set_index(["target", "metric"])
    assert rows.loc[("liver", "dice"), "value"] == pytest.approx(2 / 3)
    assert rows.loc[("liver", "hd"), "value"] == pytest.approx(1.0)
    assert rows.loc[("liver", "dice"), "reference_ml"] == pytest.approx(0.108)
    assert rows.loc[("spleen", "dice"), "value"] == 1
    assert rows.loc[("brain", "dice"), "status"] == "undefined"
    assert rows["value"].isna().tolist() == [False] * 4 + [True] * 2
    assert set(scores["name"]) == {"reference"}


def test_folders_with_a_missing_prediction(tmp_path):
    for name in ("a", "b"):
        write_labels(tmp_path / "references" / f"{name}.nii.gz")
    write_labels(tmp_path / "predictions" / "a.nii.gz")
    scores = evaluator.score(
        tmp_path / "predictions", tmp_path / "references", metrics=["dice"], threads=1
    )
    assert scores["name"].tolist() == ["a", "a", "b", "b"]
    assert scores["target"].tolist() == ["1", "2", "1", "2"]
    assert scores["status"].tolist() == ["ok", "ok", "missing", "missing"]
    assert scores["value"].fillna(-1).tolist() == [1, 1, -1, -1]


def test_errors(tmp_path):
    reference = write_labels(tmp_path / "reference.nii.gz")
    other_grid = make_grid(GRID.shape, np.diag([1.5, 2.0, 3.0, 1.0]))
    prediction = write_labels(tmp_path / "prediction.nii.gz", grid=other_grid)
    with pytest.raises(VolumeError, match="grid"):
        evaluator.score(prediction, reference)
    assert evaluator.score(prediction, reference, resample=True)["value"].notna().all()
    with pytest.raises(UnknownNameError):
        evaluator.score(prediction, reference, metrics=["dies"])
    with pytest.raises(UserError, match="PET image"):
        evaluator.score(prediction, reference, metrics=["suvmax_error"])
