"""``umd data import``: from folders to datasets, with what was left out and why."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets.importing import DatasetText, survey_folder, write_dataset
from evaluator.datasets.importing.layouts import LayoutOptions
from evaluator.datasets.importing.patterns import match_files
from evaluator.errors import DatasetError, ManifestError, UserError
from evaluator.manifests.datasets import read_dataset_manifest
from evaluator.manifests.label_tables import read_label_table
from evaluator.volumes import read_labels, write_volume
from tests.tiny import make_dataset

ROOT = Path(__file__).parents[2]
IMAGE, REFERENCE = "{subject}_{modality}_image.nii.gz", "{subject}_{modality}_reference.nii.gz"
LABELS = {"liver": (1,), "spleen": (2,)}


@pytest.fixture
def data(tmp_path):
    """Two subjects with CT, MR and PET, each on another grid; the folder of the files."""
    folder = tmp_path / "data"
    make_dataset(folder, ["a", "b"], ("CT", "MR", "PT"), ("liver", "spleen"))
    return folder


def survey(folder, layout="auto", **options):
    settings = {"images": (IMAGE,), "references": (REFERENCE,), "labels": LABELS} | options
    return survey_folder(folder, layout, LayoutOptions(**settings))


def reasons(found):
    return {entry.path.relative_to(found.root).as_posix(): entry.reason for entry in found.left_out}


def test_a_pattern_gives_the_dataset_that_was_written_by_hand(data, tmp_path):
    found = survey(data)
    assert (found.layout, len(found.scans), found.left_out) == ("pattern", 6, ())
    written = write_dataset(found, DatasetText(name="mine"), tmp_path)
    assert (written.added, written.before) == (6, 0)
    mine, original = load_dataset(written.manifest), load_dataset(data / "tiny.toml")
    for case, expected in zip(mine.cases, original.cases, strict=True):
        assert case.id == expected.id
        for modality, scan in case.scans.items():
            other = expected.scans[modality]
            assert (scan.image, scan.unit) == (other.image, other.unit)
            assert scan.references[0].path == other.references[0].path
            assert scan.references[0].labels == other.references[0].labels
    # nothing is written beside the data
    assert not [path for path in data.iterdir() if "mine" in path.name]


def test_one_mask_for_each_target_and_words_for_modalities(data, tmp_path):
    folder = tmp_path / "masks"
    words = {"CT": "lowdose_CT", "MR": "MR_T1", "PT": "SUV"}
    for path in data.glob("*_reference.nii.gz"):
        subject, modality, _ = path.name.split("_")
        place = folder / subject / "visit 1"
        place.mkdir(parents=True, exist_ok=True)
        labels, grid = read_labels(path)
        word = words[modality]
        shutil.copy(data / f"{subject}_{modality}_image.nii.gz", place / f"{word}.nii.gz")
        for target, value in (("liver", 1), ("left kidney", 2)):
            mask = (labels == value).astype(np.uint8)
            write_volume(place / f"{word}-{target}.nii.gz", mask, grid)
    found = survey(
        folder,
        images=("{subject}/{session}/{modality}.nii.gz",),
        references=("{subject}/{session}/{modality}-{target}.nii.gz",),
        labels={},
    )
    assert {scan.key for scan in found.scans} == {
        (subject, "visit-1", modality) for subject in "ab" for modality in words
    }
    assert found.renamed == {"visit 1": "visit-1", "left kidney": "left-kidney"}
    assert found.left_out == ()
    targets = {tuple(entry.labels) for scan in found.scans for entry in scan.references}
    assert targets == {("liver",), ("left-kidney",)}
    write_dataset(found, DatasetText(name="masks"), tmp_path)
    assert len(load_dataset(tmp_path / "masks.toml").cases) == 2


def test_masks_that_the_path_names_may_hold_another_value(data):
    for path in data.glob("*_reference.nii.gz"):
        labels, grid = read_labels(path)
        mask = np.uint8(255) * (labels == 1).astype(np.uint8)
        write_volume(path.with_name(path.name.replace("_reference", "-liver")), mask, grid)
    pattern = ("{subject}_{modality}-{target}.nii.gz",)
    found = survey(data, references=pattern, labels={"liver": (255,)})
    tables = [entry.labels for scan in found.scans for entry in scan.references]
    assert tables
    assert all(table == {"liver": (255,)} for table in tables)
    with pytest.raises(UserError, match=r"no reference has a label named lesion.*targets liver"):
        survey(data, references=pattern, labels={"lesion": (255,)})


def test_what_does_not_fit_is_left_out_with_the_reason(data):
    (data / "a_XY_image.nii.gz").write_bytes((data / "a_CT_image.nii.gz").read_bytes())
    (data / "b_CT_reference.nii.gz").unlink()
    shutil.copy(data / "a_PT_reference.nii.gz", data / "a_MR_reference.nii.gz")
    (data / "b_PT_image.nii.gz").write_bytes(b"nothing")
    shutil.copy(data / "a_CT_image.nii.gz", data / "stray.nii.gz")
    found = survey(data)
    assert {scan.key for scan in found.scans} == {
        ("a", "a", "CT"),
        ("a", "a", "PT"),
        ("b", "a", "MR"),
    }
    left = reasons(found)
    assert "'XY' names no modality; add --modality XY=CT" in left["a_XY_image.nii.gz"].replace(
        "XY names", "'XY' names"
    )
    assert "it has no reference" in left["b_CT_image.nii.gz"]
    assert "a_MR_reference.nii.gz has another grid" in left["a_MR_image.nii.gz"]
    assert left["a_MR_reference.nii.gz"] == "no image of its subject has its grid"
    assert left["stray.nii.gz"] == "fits no pattern of layout pattern"
    assert "b_PT_image.nii.gz" in left
    assert len(left) == 7


def test_a_reference_without_a_modality_belongs_to_the_images_on_its_grid(data, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    shutil.copy(data / "a_CT_image.nii.gz", folder / "a_CT.nii.gz")
    shutil.copy(data / "a_CT_image.nii.gz", folder / "a_PET.nii.gz")
    shutil.copy(data / "a_MR_image.nii.gz", folder / "a_MR.nii.gz")
    shutil.copy(data / "a_CT_reference.nii.gz", folder / "a_seg.nii.gz")
    found = survey(
        folder, images=("{subject}_{modality}.nii.gz",), references=("{subject}_seg.nii.gz",)
    )
    assert {scan.modality for scan in found.scans} == {"CT", "PT"}
    assert "another grid" in reasons(found)["a_MR.nii.gz"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a_CT.nii.gz", ("a", "CT")),
        ("STS_001_CT.nii.gz", ("STS_001", "CT")),
        ("STS_001_MR_T1.nii.gz", ("STS_001", "MR_T1")),
        ("CT_7_pet.nii.gz", ("CT_7", "pet")),
        ("STS_001_dose.nii.gz", ("STS", "001_dose")),
    ],
)
def test_a_subject_with_the_separator_in_its_name(tmp_path, name, parts):
    """Patients STS_001 and STS_002 once became one subject STS."""
    words = {"ct": "CT", "pet": "PT", "mr": "MR", "t1": "MR"}
    (match,) = match_files(tmp_path, [tmp_path / name], "{subject}_{modality}.nii.gz", words)
    assert (match.parts["subject"], match.parts["modality"]) == parts


@pytest.mark.parametrize("channels", ["channel_names", "modality"])
def test_nnunet(data, tmp_path, channels):
    folder = tmp_path / "Dataset001_x"
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir(parents=True)
    for subject, part in (("a_1.x", "Tr"), ("b", "Ts")):
        source = subject[0]
        image = data / f"{source}_CT_image.nii.gz"
        shutil.copy(image, folder / f"images{part}" / f"{subject}_0000.nii.gz")
        shutil.copy(image, folder / f"images{part}" / f"{subject}_0001.nii.gz")
        shutil.copy(image, folder / f"images{part}" / f"{subject}_0007.nii.gz")
        shutil.copy(
            data / f"{source}_CT_reference.nii.gz", folder / f"labels{part}" / f"{subject}.nii.gz"
        )
    body = {
        channels: {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "liver": 1, "both": [1, 2], "ignore": 3},
    }
    (folder / "dataset.json").write_text(json.dumps(body))
    found = survey(folder, images=(), references=(), labels={})
    assert found.layout == "nnunet"
    assert {scan.key for scan in found.scans} == {
        (subject, "a", modality) for subject in ("a_1.x", "b") for modality in ("CT", "PT")
    }
    assert found.scans[0].references[0].labels == {"liver": (1,), "both": (1, 2)}
    assert (
        reasons(found)["imagesTr/a_1.x_0007.nii.gz"]
        == "dataset.json has no channel 0007; names end with _0000, _0001, ..."
    )
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"not a dataset.json of nnU-Net"):
        survey(folder, images=(), references=(), labels={})


@pytest.mark.parametrize("session", ["", "ses-1"])
def test_bids(data, tmp_path, session):
    folder = tmp_path / "bids"
    for path in data.glob("*_image.nii.gz"):
        subject, modality, _ = path.name.split("_")
        kind, suffix = {"CT": ("ct", "ct"), "MR": ("anat", "T1w"), "PT": ("pet", "pet")}[modality]
        place = folder / f"sub-{subject}" / session / kind
        mask_place = folder / "derivatives" / "manual" / f"sub-{subject}" / session / kind
        for new in (place, mask_place):
            new.mkdir(parents=True)
        shutil.copy(path, place / f"sub-{subject}_{suffix}.nii.gz")
        reference = data / f"{subject}_{modality}_reference.nii.gz"
        shutil.copy(reference, mask_place / f"sub-{subject}_desc-{kind}_dseg.nii.gz")
    table = folder / "derivatives" / "manual" / "dseg.tsv"
    table.write_text("index\tname\n0\tBackground\n1\tliver\n2\tspleen\n")
    found = survey(folder, images=(), references=(), labels={})
    assert (found.layout, len(found.scans), found.left_out) == ("bids", 6, ())
    expected = "1" if session else "a"
    assert {scan.session for scan in found.scans} == {expected}
    assert {tuple(scan.references[0].labels.items()) for scan in found.scans} == {
        (("liver", (1,)), ("spleen", (2,)))
    }
    table.unlink()
    with pytest.raises(DatasetError, match="add --labels FILE or --label"):
        survey(folder, images=(), references=(), labels={})


def test_the_same_import_adds_what_is_new_and_keeps_corrections(data, tmp_path):
    first = tmp_path / "part"
    first.mkdir()
    for path in data.glob("a_*.nii.gz"):
        shutil.copy(path, first)
    text = DatasetText(name="mine", title="By hand", license="CC0-1.0")
    write_dataset(survey(first), text, tmp_path)
    cases = tmp_path / "mine.tsv"
    edited = cases.read_text().replace("liver=1;spleen=2", "liver=1").replace("unit", "unit\tsplit")
    lines = edited.splitlines()
    lines = [
        lines[0],
        *(re.sub(r"\t(HU|a\.u\.|SUVbw)\t", r"\t\1\ttrain\t", line) for line in lines[1:]),
    ]
    cases.write_text("\n".join(lines) + "\n")
    before = cases.read_text()
    for path in data.glob("b_*.nii.gz"):
        shutil.copy(path, first)
    written = write_dataset(survey(first), DatasetText(name="mine", title="Another"), tmp_path)
    assert (written.before, written.added) == (3, 3)
    assert cases.read_text().startswith(before)
    dataset = load_dataset(tmp_path / "mine.toml")
    assert dataset.title == "By hand"
    labels = {case.subject: dict(case.scans["CT"].references[0].labels) for case in dataset.cases}
    assert labels == {"a": {"liver": (1,)}, "b": {"liver": (1,), "spleen": (2,)}}
    assert write_dataset(survey(first), text, tmp_path).added == 0


def test_names_that_a_case_list_cannot_hold_are_left_out(data):
    (data / "b_CT_image.nii.gz").rename(data / "b\t2_CT_image.nii.gz")
    surveyed = survey(data)
    assert ("b", "a", "CT") not in {scan.key for scan in surveyed.scans}
    assert "a tab" in reasons(surveyed)["b\t2_CT_image.nii.gz"]
    with pytest.raises(DatasetError, match="get one name: left kidney, left-kidney"):
        survey(data, labels={"left kidney": (1,), "left-kidney": (2,)})


def test_refusals(data, tmp_path):
    with pytest.raises(UserError, match="lies inside the data"):
        write_dataset(survey(data), DatasetText(name="mine"), data / "new")
    with pytest.raises(UserError, match="no folder"):
        survey(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not recognised"):
        survey(data, images=(), references=())
    with pytest.raises(UserError, match=r"patient is not known; known are \{subject\}"):
        survey(data, images=("{patient}.nii.gz",))
    with pytest.raises(UserError, match=r"has no \{subject\}"):
        survey(data, images=("{modality}.nii.gz",))
    with pytest.raises(UserError, match="needs --image and --reference"):
        survey(data, references=())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="it holds 0 volumes"):
        survey(empty)
    write_dataset(survey(data), DatasetText(name="mine"), tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    with pytest.raises(UserError, match="describes data in"):
        write_dataset(survey(copy), DatasetText(name="mine"), tmp_path)


def test_tables_of_labels(tmp_path):
    slicer = tmp_path / "a.ctbl"
    slicer.write_text("# comment\n0 background 0 0 0 0\n5 liver 1 2 3 255\n7 spleen 9 9 9 255\n")
    snap = tmp_path / "b.txt"
    snap.write_text('# ITK-SNAP\n0 0 0 0 0 0 0 "Clear Label"\n3 1 1 1 1 1 1 "left kidney"\n')
    assert read_label_table(slicer).targets == {"liver": (5,), "spleen": (7,)}
    assert read_label_table(snap).targets == {"left kidney": (3,)}
    for name, text in (
        ("c.tsv", "number\tname\n1\tliver\n"),
        ("d.txt", "liver 5\n"),
        ("e.ctbl", ""),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ManifestError, match="no table of labels"):
            read_label_table(tmp_path / name)


def umd(*arguments, **more):
    return subprocess.run(
        [Path(sys.executable).with_name("umd"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def test_real_scans_give_the_shipped_case_list(shared_data, tmp_path):
    done = umd(
        *("data", "import", shared_data / "01_ibsi_sts_pet_ct_mr", "--name", "sarcoma"),
        *("--image", "{subject}/{modality}_image.nii.gz"),
        *("--reference", "{subject}/{modality}_mask.nii.gz", "--label", "lesion=1"),
        *("--output", tmp_path, "--yes"),
    )
    assert done.returncode == 0, done.stderr
    assert "7 sessions with CT+MR+PT" in done.stdout
    shipped = read_dataset_manifest(ROOT / "manifests" / "datasets" / "ibsi-sts.toml").rows
    mine = read_dataset_manifest(tmp_path / "sarcoma.toml").rows
    columns = ("subject", "session", "modality", "image", "reference", "unit", "labels")
    assert sorted(tuple(str(getattr(row, name)) for name in columns) for row in mine) == sorted(
        tuple(str(getattr(row, name)) for name in columns) for row in shipped
    )


def test_without_a_terminal_it_shows_and_writes_nothing(data, tmp_path):
    arguments = ["data", "import", data, "--name", "mine", "--image", IMAGE]
    arguments += ["--reference", REFERENCE, "--label", "liver=1", "--output", tmp_path / "out"]
    done = umd(*arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "2 sessions with CT+MR+PT" in done.stdout
    assert "nothing was written; add --yes" in done.stderr
    assert not (tmp_path / "out").exists()
    listed = umd(*arguments, "--json", "--yes").stdout.splitlines()
    assert {json.loads(line)["modality"] for line in listed} == {"CT", "MR", "PT"}
    assert umd("data", "verify", tmp_path / "out" / "mine.toml").returncode in (0, 1)
