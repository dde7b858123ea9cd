"""Data that other programs write meanwhile, content that was not fetched, and stated units."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets import verify as verify_module
from evaluator.datasets.dicom import Store, converted_survey, index_tree, make_plan
from evaluator.datasets.dicom.convert import convert_images
from evaluator.datasets.importing import survey_folder
from evaluator.datasets.importing.layouts import LayoutOptions
from evaluator.datasets.importing.sidecars import stated_unit
from evaluator.datasets.scan_checks import implausible_uptake
from evaluator.errors import DatasetError
from evaluator.imaging.geometry import make_grid
from evaluator.volumes import write_volume
from tests.dicom_studies import make_structures, save, save_series, square
from tests.tiny import make_dataset

GRID = make_grid((5, 6, 7), np.diag([4.0, 4, 4, 1]))
OPTIONS = LayoutOptions(
    images=("{subject}/{modality}.nii.gz",),
    references=("{subject}/seg.nii.gz",),
    labels={"liver": (1,)},
)


def save_subject(folder):
    folder.mkdir()
    for name in ("CT", "PET", "seg"):
        write_volume(folder / f"{name}.nii.gz", np.ones(GRID.shape, dtype=np.uint8), GRID)


@pytest.mark.parametrize("change", ["replaced", "removed", "cut"])
def test_a_file_that_changes_while_it_is_checked_is_an_error_and_not_cached(
    tmp_path, monkeypatch, change
):
    case = load_dataset(make_dataset(tmp_path / "tiny", ["P1"])).cases[0]
    path = next(iter(case.scans.values())).image
    content, examine, times = path.read_bytes(), verify_module._examine, []

    def write_meanwhile(case, depth):
        check = examine(case, depth)
        times.append(1)
        if len(times) == 1 and change == "removed":
            path.unlink()
        elif len(times) == 1:
            path.write_bytes(content[: len(content) // 2] if change == "cut" else content + b"0")
        return check

    monkeypatch.setattr(verify_module, "_examine", write_meanwhile)
    found = verify_module.check_cases([case]).findings
    assert any("changed while they were read" in finding.message for finding in found)
    path.write_bytes(content)
    again = verify_module.check_cases([case]).findings
    assert not any("changed while" in finding.message for finding in again)
    assert len(times) == 2


def planned(tmp_path):
    images = save_series(tmp_path / "s", "CT", np.ones((3, 8, 8)))
    save(make_structures(images, {"lesion": [square(1, 9, 3)]}), tmp_path / "s" / "rs.dcm")
    store = Store(tmp_path / "store")
    store.private.mkdir(parents=True)
    return store, make_plan(tmp_path / "s", store, index_tree(tmp_path / "s", store))


@pytest.mark.parametrize("name", ["000-0.dcm", "rs.dcm"])
def test_a_series_that_changes_between_index_and_conversion_is_left_out(tmp_path, name):
    store, plan = planned(tmp_path)
    path = tmp_path / "s" / name
    os.utime(path, ns=(1, 1))
    converted = convert_images(tmp_path / "s", store, plan.images)
    reasons = [entry.reason for entry in converted.left_out]
    assert "1 file changed since the headers were read; import again" in reasons
    assert not converted.scans
    with pytest.raises(DatasetError, match="import again"):
        converted_survey(store, plan, converted)
    plan = make_plan(tmp_path / "s", store, index_tree(tmp_path / "s", store))
    assert len(convert_images(tmp_path / "s", store, plan.images).scans) == 1


def test_content_that_git_lfs_did_not_fetch_is_told(tmp_path):
    save_subject(tmp_path / "P1")
    (tmp_path / "P1" / "PET.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\n")
    survey = survey_folder(tmp_path, "pattern", OPTIONS)
    assert [scan.modality for scan in survey.scans] == ["CT"]
    assert [entry.reason for entry in survey.left_out] == [
        "its content was not fetched; run git lfs pull"
    ]


@pytest.mark.parametrize(("unit", "left"), [("Bq/mL", 1), ("kBq / ml", 1), ("g/ml", 0), (3, 0)])
def test_pet_whose_sidecar_states_activity_is_left_out(tmp_path, unit, left):
    save_subject(tmp_path / "P1")
    (tmp_path / "P1" / "PET.json").write_text(json.dumps({"Units": unit}))
    survey = survey_folder(tmp_path, "pattern", OPTIONS)
    assert len(survey.left_out) == left
    assert len(survey.scans) == 2 - left
    assert all(f"states Units {unit}; PET must be in SUV" in x.reason for x in survey.left_out)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '{"Units": null}'])
def test_a_sidecar_that_cannot_be_read_states_nothing(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert stated_unit(tmp_path / "a.nii.gz") == ""


@pytest.mark.parametrize(
    ("low", "middle", "high", "guess"),
    [(-110, 100, 9000, "Bq/ml perhaps"), (-1000, -900, 1800, "HU of a CT"), (-3, 0, 40, "")],
)
def test_negative_values_of_pet_name_the_likely_unit(low, middle, high, guess):
    message = implausible_uptake(np.array([low, middle, middle, high], dtype=np.float32))
    assert message is not None
    assert guess in message
    assert "do not look like SUV" in message
