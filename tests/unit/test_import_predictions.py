"""Predictions from elsewhere become a run whose scores equal those of the same masks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import evaluator
from evaluator.errors import DatasetError, UserError
from evaluator.evaluation.imported_predictions import ImportConfig, import_predictions
from evaluator.runs.tables import read_scores
from evaluator.volumes import read_labels, write_volume
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

KEYS = ["case", "modality", "target", "metric"]


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen"))


@pytest.fixture
def original(project, data):
    project({"painter": PAINTER})
    return order("painter", data, "box", engine="local")


def config(folder, data, **more):
    settings = {
        "protocol": "box",
        "made_with": "box",
        "pattern": "{subject}_{modality}_{target}.nii.gz",
    } | more
    return ImportConfig(folder=folder, model="elsewhere", dataset=str(data), **settings)


def write_masks(run, folder):
    """The masks of a run, one file each."""
    folder.mkdir()
    for record in run.records():
        subject = record.case.split(".")[0]
        for target, result in record.rounds[0].targets.items():
            name = f"{subject}_{record.modality}_{target}.nii.gz"
            (folder / name).write_bytes(run.masks.content(result.mask.file))
    return folder


def scores(run):
    frame = read_scores(run).set_index(KEYS).sort_index()
    return frame["value"], frame["status"]


def test_masks_have_the_scores_of_the_run_they_come_from(original, data, tmp_path):
    folder = write_masks(original, tmp_path / "masks")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    run = import_predictions(config(folder, data))
    for mine, theirs in zip(scores(run), scores(original), strict=True):
        assert mine.equals(theirs)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    info = run.info()
    assert (info.engine.name, info.identity.model) == ("none", "elsewhere")
    assert info.card["umd.title"] == "elsewhere (predictions from files)"
    assert len(info.weights.sha256) == 8
    # the same files are the same run, and both runs stand in one table
    assert import_predictions(config(folder, data)).name == run.name
    table = evaluator.compare(evaluator.load([run, original]))
    assert {"elsewhere", "painter"} <= set(table.means["model"])


def test_label_maps_are_read_by_the_datasets_values_or_a_table(original, data, tmp_path):
    masks = write_masks(original, tmp_path / "masks")
    for values, labels in (({"liver": 1, "spleen": 2}, None), ({"liver": 7, "spleen": 3}, {})):
        folder = tmp_path / f"maps-{values['liver']}"
        for subject in ("a", "b"):
            for modality in ("CT", "PT"):
                array = None
                for target, value in values.items():
                    mask, grid = read_labels(masks / f"{subject}_{modality}_{target}.nii.gz")
                    array = np.zeros(mask.shape, np.uint8) if array is None else array
                    array[mask > 0] = value
                (folder / subject).mkdir(parents=True, exist_ok=True)
                write_volume(folder / subject / f"{modality}.nii.gz", array, grid)
        table = None if labels is None else {name: (value,) for name, value in values.items()}
        run = import_predictions(
            config(folder, data, pattern="{subject}/{modality}.nii.gz", labels=table)
        )
        # boxes overlap: the later target has all of its voxels
        values_of = scores(run)[0]
        assert values_of.xs("spleen", level="target").equals(
            scores(original)[0].xs("spleen", level="target")
        )
        assert set(scores(run)[1]) == {"ok"}


def test_what_is_missing_or_elsewhere_has_a_status(original, data, tmp_path, messages):
    folder = write_masks(original, tmp_path / "masks")
    (folder / "a_CT_liver.nii.gz").unlink()
    shutil.copy(folder / "a_PT_liver.nii.gz", folder / "b_CT_liver.nii.gz")
    (folder / "b_PT_liver.nii.gz").write_bytes(b"nothing")
    mask, grid = read_labels(folder / "b_CT_spleen.nii.gz")
    affine = np.array(grid.affine)
    affine[0, 3] += 5
    write_volume(
        folder / "b_CT_spleen.nii.gz",
        mask,
        type(grid)(shape=grid.shape, affine=tuple(map(tuple, affine.tolist()))),
    )
    (folder / "notes.txt").write_text("mine")
    run = import_predictions(config(folder, data))
    found = {
        (record.case, record.modality, name): str(target.status)
        for record in run.records()
        for name, target in record.rounds[0].targets.items()
    }
    assert found["a.a", "CT", "liver"] == "missing"
    assert found["b.a", "CT", "liver"] == "wrong-shape"
    assert found["b.a", "PT", "liver"] == "wrong-values"
    assert found["b.a", "CT", "spleen"] == "wrong-affine"
    assert list(found.values()).count("ok") == 4
    text = json.dumps(messages)
    assert "1 files are not used: notes.txt" in text
    assert "1 of 8 files are missing" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pattern": "{patient}.nii.gz"}, r"\{patient\}; known are \{case\}"),
        ({"pattern": "{subject"}, "pattern '{subject': "),
        ({"pattern": "../{subject}.nii.gz"}, "must be a path inside"),
        ({"pattern": "/{subject}.nii.gz"}, "must be a path inside"),
        ({"pattern": "{subject}/x.nii.gz"}, "a_CT_liver.nii.gz.*expects a/x.nii.gz"),
        ({"made_with": "class"}, "gives box, and the predictions were made with class"),
        ({"protocol": "box-clicks-5"}, "has 6 rounds, and a file is one answer"),
        ({"folder": "nowhere"}, "no folder"),
    ],
)
def test_what_cannot_be_imported_is_said(original, data, tmp_path, more, message):
    folder = write_masks(original, tmp_path / "masks")
    settings = dict(more)
    folder = tmp_path / settings.pop("folder", folder.name)
    with pytest.raises(UserError, match=message):
        import_predictions(config(folder, data, **settings))


def test_faults_of_the_data_are_found_as_for_any_run(original, data, tmp_path):
    folder = write_masks(original, tmp_path / "masks")
    checked = import_predictions(config(folder, data)).checks()
    assert checked.findings == original.checks().findings
    assert checked.findings
    (data.parent / "a_CT_image.nii.gz").unlink()
    with pytest.raises(DatasetError, match="a_CT_image"):
        import_predictions(config(folder, data, name="second"))
    run = import_predictions(config(folder, data, name="third", force=True))
    assert {str(status) for status in scores(run)[1].xs("CT", level="modality").xs("a.a")} == {
        "not-run"
    }
