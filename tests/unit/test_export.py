"""Exports: equal content, and pseudonyms instead of the names of subjects."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pandas as pd
import pytest

import evaluator
from evaluator.errors import UnknownNameError, UserError
from evaluator.export import export_run
from evaluator.export.pseudonyms import bids_labels, number_sessions, number_subjects
from evaluator.volumes import read_labels
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

#: a name that occurs in no other text
PATIENT = "Zuzka07"


@pytest.fixture
def run(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", [PATIENT, "Xaver12"], ("CT", "PT"), ("liver", "spleen"))
    # the reason for the missing prediction contains a path with the subject's name
    (tmp_path / "data" / "Xaver12_PT_image.nii.gz").unlink()
    return order("painter", data, "box", engine="local", name="a-run", force=True)


def table(path):
    """The rows of a TSV file."""
    return list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))


def everything(folder):
    """All bytes written, after decompression, and the names of all files."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if path.suffix == ".parquet":
            yield pd.read_parquet(path).to_csv().encode()


@pytest.mark.parametrize("form", ["parquet", "csv", "bids-derivatives"])
def test_exports_contain_no_names(run, form, tmp_path):
    export_run(str(run.path), form, tmp_path / "out")
    for name in (PATIENT, "Xaver12", str(tmp_path)):
        assert not any(name.encode() in content for content in everything(tmp_path / "out")), name
    export_run(str(run.path), form, tmp_path / "kept", keep_ids=True)
    assert any(PATIENT.encode() in content for content in everything(tmp_path / "kept"))


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_have_equal_content(run, form, tmp_path):
    files = export_run(str(run.path), form, tmp_path / "out")
    assert [path.name for path in files] == [
        f"{name}.{form}" for name in ("scores", "predictions", "runs", "findings")
    ]
    read = pd.read_parquet if form == "parquet" else pd.read_csv
    scores = read(tmp_path / "out" / f"scores.{form}")
    mine = evaluator.load(run).scores
    assert list(scores["value"].fillna(-1)) == pytest.approx(list(mine["value"].fillna(-1)))
    assert set(scores["subject"]) == {"S001", "S002"}
    assert set(scores["case"]) == {"S001.1", "S002.1"}
    assert not {"detail", "notes", "mask"} & set(read(tmp_path / "out" / f"predictions.{form}"))


def test_bids_derivatives_of_masks_that_do_not_overlap(run, tmp_path):
    out = tmp_path / "out"
    export_run(str(run.path), "bids-derivatives", out)
    about = json.loads((out / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["Name"].startswith("SYNTHETIC")
    assert about["GeneratedBy"][0]["Name"] == "umd"
    assert "SYNTHETIC" in (out / "README").read_text()
    labels = {row["name"]: int(row["index"]) for row in table(out / "dseg.tsv")}
    assert labels == {"liver": 1, "spleen": 2}
    subject = number_subjects([PATIENT, "Xaver12"], run.info().salt)[PATIENT]
    stem = f"sub-{subject}_ses-1"
    scores = table(out / f"sub-{subject}/ses-1/{stem}_scores.tsv")
    assert len(scores) == 2 * 2 * 5
    assert set(json.loads((out / "scores.json").read_text())) == set(scores[0])
    assert {row["participant_id"] for row in table(out / "participants.tsv")} == {
        "sub-S001", "sub-S002",
    }  # fmt: skip
    # the two boxes overlap, so each mask is a separate file
    folder = out / f"sub-{subject}" / "ses-1" / "anat"
    pet = out / f"sub-{subject}" / "ses-1" / "pet"
    assert len(list(pet.glob("*acq-PT*_mask.nii.gz"))) == 2
    names = sorted(path.name for path in folder.glob("*acq-CT*.nii.gz"))
    assert names == [
        f"{stem}_acq-CT_space-orig_label-{organ}_desc-painter_mask.nii.gz"
        for organ in ("liver", "spleen")
    ]
    sidecar = json.loads((folder / names[0].replace(".nii.gz", ".json")).read_text())
    assert sidecar["TargetStatus"] == {"liver": "ok", "spleen": "ok"}
    mask = (
        evaluator.load(run)
        .predictions.query("target == 'liver' and modality == 'CT' and subject == @PATIENT")["mask"]
        .iloc[0]
    )
    assert (folder / names[0]).read_bytes() == run.masks.content(mask)


def test_masks_without_overlap_are_one_segmentation(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"], ("CT",), ("liver", "spleen", "aorta"))
    run = order("painter", data, engine="local")  # cubes around points do not overlap
    export_run(str(run.path), "bids-derivatives", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*_dseg.nii.gz")
    labels, _ = read_labels(path)
    numbers = {"aorta": 1, "liver": 2, "spleen": 3}
    for row in evaluator.load(run).predictions.itertuples():
        mask, _ = run.masks.read(row.mask)
        assert np.array_equal(labels == numbers[row.target], mask == 1)


def test_each_seed_has_separate_files(project, tmp_path):
    project({"painter": PAINTER})
    run = order(
        "painter", make_dataset(tmp_path / "data", ["a"], ("CT",)), "robust-box", engine="local"
    )
    export_run(str(run.path), "bids-derivatives", tmp_path / "out")
    names = {path.name.partition("_seg-")[2] for path in (tmp_path / "out").rglob("*_dseg.nii.gz")}
    assert names == {f"painterseed{seed}_dseg.nii.gz" for seed in range(5)}


def test_invalid_arguments(run, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean parquet"):
        export_run(str(run.path), "parket", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UserError, match="not empty"):
        export_run(str(run.path), "csv", tmp_path / "full")
    with pytest.raises(UnknownNameError, match="no run named"):
        export_run("nothing", "csv", tmp_path / "out")


def test_pseudonyms_depend_on_the_salt():
    names = [f"subject-{n}" for n in range(40)]
    first, repeated, different = (number_subjects(names, salt) for salt in ("x", "x", "y"))
    assert first == repeated
    assert first != different
    assert sorted(first.values()) == [f"S{n:03d}" for n in range(1, 41)]
    assert [first[name] for name in names] != sorted(first.values())
    assert number_sessions([("a", "2021-03-04"), ("a", "2020-01-01"), ("b", "x")]) == {
        ("a", "2020-01-01"): "1", ("a", "2021-03-04"): "2", ("b", "x"): "1",
    }  # fmt: skip


def test_labels_of_unusual_names_are_unique():
    labels = bids_labels(["kidney-left", "kidneyleft", "KidneyLeft", "肝臓", "<b>", "b"])
    assert len({label.lower() for label in labels.values()}) == 6
    assert all(label.isascii() and label.isalnum() for label in labels.values())


def test_sessions_with_similar_names_stay_separate(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT",))
    rows = (
        (tmp_path / "data" / "tiny.tsv")
        .read_text()
        .replace("b\ta\t", "a\t1.1\t")
        .replace("a\ta\t", "a\t11\t")
    )
    (tmp_path / "data" / "tiny.tsv").write_text(rows)
    run = order("painter", data, "box", engine="local")
    export_run(str(run.path), "bids-derivatives", tmp_path / "out", keep_ids=True)
    assert {path.parent.name for path in (tmp_path / "out").rglob("*_scores.tsv")} == {
        "ses-11",
        "ses-112",
    }
    assert len(list((tmp_path / "out").rglob("*_dseg.nii.gz"))) == 2


def test_several_runs_are_one_table_with_the_same_numbers(run, project, tmp_path):
    other = order(
        "painter", run.info().dataset_source, "point-1", engine="local", name="other", force=True
    )
    export_run([run, other.name], "csv", tmp_path / "tables")
    scores = pd.read_csv(tmp_path / "tables" / "scores.csv")
    assert set(scores["run"]) == {run.name, "other"}
    numbers = scores.groupby("run")["subject"].unique().map(sorted)
    assert len(set(numbers.map(tuple))) == 1
    export_run([run, other], "bids-derivatives", tmp_path / "bids")
    for name in (run.name, "other"):
        assert (tmp_path / "bids" / name / "dataset_description.json").is_file()
