"""Folders of strangers: what is odd or damaged in them is read, or left out with a reason."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.cli.data import data as command
from evaluator.datasets import load_dataset
from evaluator.datasets.importing import DatasetText, Survey, survey_folder, write_dataset
from evaluator.datasets.importing.case_names import CaseNames, unique_names
from evaluator.datasets.importing.layouts import LayoutOptions
from evaluator.datasets.importing.tree import walk_tree
from evaluator.imaging.geometry import make_grid
from evaluator.plain_text import counted, visible
from evaluator.volumes import write_volume

IMAGE, REFERENCE = "{subject}/{modality}.nii.gz", "{subject}/{modality}-{target}.nii.gz"
GRID = make_grid((5, 4, 3), np.diag([2, 2, 3, 1]))


def add(root: Path, subject: str, *modalities: str) -> Path:
    """Images with a reference of the liver; returns the folder of the subject."""
    for modality in modalities or ("CT", "PET"):
        path = root / subject / f"{modality}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, np.ones(GRID.shape, np.int16), GRID)
        write_volume(path.with_name(f"{modality}-liver.nii.gz"), np.ones((5, 4, 3), np.uint8), GRID)
    return root / subject


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one subject that has nothing to complain of."""
    add(tmp_path / "data", "P01")
    return tmp_path / "data"


def survey(root: Path) -> Survey:
    return survey_folder(root, "auto", LayoutOptions(images=(IMAGE,), references=(REFERENCE,)))


def cases(found: Survey) -> dict[str, str]:
    """Subject -> modalities; the case list is written and read again."""
    folder = found.root.parent / "list"
    shutil.rmtree(folder, ignore_errors=True)
    written = write_dataset(found, DatasetText(name="mine"), folder)
    loaded = load_dataset(written.manifest).cases
    return {case.subject: "+".join(sorted(case.scans)) for case in loaded}


def reasons(found: Survey) -> dict[str, str]:
    return {entry.path.relative_to(found.root).as_posix(): entry.reason for entry in found.left_out}


def test_links_to_folders_are_followed_once(root: Path, tmp_path: Path) -> None:
    add(tmp_path / "archive", "P02")
    (tmp_path / "archive/P02/back").symlink_to(root)
    (root / "P02").symlink_to(tmp_path / "archive/P02")
    (root / "P03").symlink_to(root / "P01")
    (root / "P01/again").symlink_to(tmp_path / "archive")
    (root / "self").symlink_to("self")
    (root / "all").symlink_to("/")
    (root / "gone").symlink_to(tmp_path / "nothing")
    (root / "P01/MR.nii.gz").symlink_to("../.git/annex/objects/x/MR.nii.gz")
    found = survey(root)
    assert cases(found) == {"P01": "CT+PT", "P02": "CT+PT"}
    told = reasons(found)
    assert "in a circle" in told["self"]
    assert "contains this one" in told["all"]
    assert "does not exist" in told["gone"]
    assert "git annex get" in told["P01/MR.nii.gz"]
    # which of two links comes first does not matter: a folder has one place
    assert "in another place" in told["P03"]
    assert "in another place" in told["P02/back"]


def test_folders_that_cannot_be_listed_are_told(root: Path, monkeypatch) -> None:
    add(root, "P02")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "P02":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = survey(root)
    assert cases(found) == {"P01": "CT+PT"}
    assert reasons(found) == {"P02": "it cannot be read: Permission denied"}


def test_subjects_never_become_one_by_their_names(root: Path) -> None:
    """The PET of one patient once stood beside the CT of another one."""
    add(root, "Mö", "CT")
    add(root, "Mä", "PET")
    add(root, "A B", "CT")
    add(root, "A-B", "PET")
    add(root, "p01", "CT")
    composed = unicodedata.normalize("NFC", "Jürg")
    add(root, composed, "CT")
    add(root, unicodedata.normalize("NFD", composed), "PET")
    found = survey(root)
    by_name = cases(found)
    assert by_name.pop("P01") == "CT+PT"
    # macOS decomposes letters; both spellings are one name
    assert by_name.pop("J-rg") == "CT+PT"
    assert by_name.pop("A-B") == "PT"
    assert sorted(by_name.values()) == ["CT", "CT", "CT", "PT"]
    assert sorted(name[:-7] for name in by_name) == ["A-B", "M", "M", "p01"]
    assert found.left_out == ()


def test_names_of_cases() -> None:
    assert unique_names(["a", "b c"]) == {"a": "a", "b c": "b-c"}
    names = CaseNames([("a", "b.c"), ("a.b", "c"), ("x", "1 2"), ("x", "1-2")])
    ids = {".".join(names.of(*case)) for case in [("a", "b.c"), ("a.b", "c")]}
    assert len(ids) == 2
    assert names.of("x", "1-2") == ("x", "1-2")
    assert names.of("x", "1 2")[1].startswith("1-2-")
    assert len(set(unique_names(["患者一", "患者二"]).values())) == 2


def test_names_differ_where_the_digits_of_two_hashes_are_equal() -> None:
    """Chinese letters become "x", and six digits of a hash are only 24 bits."""
    texts = [f"{chr(0x4E00 + number)}{chr(0x4E00 + number // 2)}" for number in range(20_000)]
    names = unique_names(texts)
    assert len(set(names.values())) == len(texts)
    # a folder that has the changed name of another one keeps it
    first = names[texts[0]]
    again = unique_names([*texts[:2], first])
    assert again[first] == first
    assert len(set(again.values())) == 3


def test_names_that_a_case_list_cannot_hold_are_told(root: Path) -> None:
    for subject, words in (
        ("P\n2", "a line break"),
        ("P\t3", "a tab"),
        ("P\x1b[31m4", "another control character"),
        ("P\x855", "another control character"),
        ("P\\6", "a backslash"),
        (" P7", "a space at the beginning"),
        (os.fsdecode(b"P\xff8"), "bytes that are no UTF-8"),
    ):
        add(root, subject, "CT")
        found = survey(root)
        assert cases(found) == {"P01": "CT+PT"}
        assert words in reasons(found)[f"{subject}/CT.nii.gz"]
        arguments = ["--image", IMAGE, "--reference", REFERENCE, "--name", "mine", "--json"]
        shown = CliRunner().invoke(command, ["import", str(root), *arguments])
        assert shown.stdout.isprintable() or shown.stdout.replace("\n", "").isprintable()
        shown = CliRunner().invoke(command, ["import", str(root), *arguments[:-1]])
        assert "left out: 2 files" in shown.stdout
        assert shown.stdout.replace("\n", "").isprintable()
        shutil.rmtree(root / subject)
    # these are allowed, and read back as they were written
    for subject in ("P:1", "P 2", "-3", "=4", "#5", "P'\"6;x=1", "P @7"):
        add(root, subject, "CT")
    assert len(cases(survey(root))) == 8


def test_hidden_files_and_other_kinds_are_told(root: Path) -> None:
    (root / "P01/._CT.nii.gz").write_bytes(b"\0\5\x16\7")
    (root / "P01/.DS_Store").write_bytes(b"x")
    (root / "P01/Thumbs.db").write_bytes(b"x")
    (root / "P01/old.nrrd.gz").write_bytes(b"x")
    add(root, ".trash")
    os.mkfifo(root / "P01/MR.nii.gz")
    found = survey(root)
    assert cases(found) == {"P01": "CT+PT"}
    assert found.others == {".db": 1, ".nrrd.gz": 1}
    told = reasons(found)
    assert told["P01/._CT.nii.gz"].startswith("a hidden file")
    assert told[".trash"].startswith("a hidden folder")
    assert told["P01/MR.nii.gz"] == "neither a file nor a folder"
    assert len(told) == 3


def test_damaged_files_and_second_files_are_told(root: Path) -> None:
    folder = add(root, "P02", "CT", "PET", "MR")
    (folder / "CT.nii.gz").write_bytes(b"")
    body = (folder / "PET.nii.gz").read_bytes()
    (folder / "PET.nii.gz").write_bytes(body[:40])
    series = make_grid((5, 4, 3), np.eye(4))
    write_volume(folder / "MR.nii.gz", np.ones((5, 4, 3), np.int16), series)
    add(root, "P03", "CT")
    second = root / "P03/CT-Liver.nii.gz"
    shutil.copy(root / "P03/CT-liver.nii.gz", second)
    found = survey(root)
    assert cases(found) == {"P01": "CT+PT", "P03": "CT"}
    told = reasons(found)
    assert told["P02/CT.nii.gz"] == "cannot be read: the file is empty"
    assert "broken" in told["P02/PET.nii.gz"]
    assert told["P02/PET-liver.nii.gz"] == "no image of its subject has its grid"
    assert told["P02/MR.nii.gz"].startswith("its reference MR-liver.nii.gz has another grid")
    assert told["P03/CT-liver.nii.gz"].startswith("a second liver of its image")
    (root / "P03/CT.nii.gz").unlink()
    (root / "P03/CT.mha").write_bytes(b"")
    assert "no image of its subject and session" in reasons(survey(root))["P03/CT-Liver.nii.gz"]


def test_a_folder_with_the_name_of_a_volume_is_left_out_unless_it_holds_one(root: Path) -> None:
    (root / "P02/CT.nii.gz").mkdir(parents=True)
    (root / "P02/CT.nii.gz/0.dcm").write_bytes(b"slice")
    (root / "P03/CT.nii.gz").mkdir(parents=True)
    shutil.copy(root / "P01/CT.nii.gz", root / "P03/CT.nii.gz/CT.nii.gz")
    found = reasons(survey(root))
    assert "a folder without a volume, where one file" in found["P02/CT.nii.gz"]
    assert "--layout dicom" in found["P02/CT.nii.gz"]
    assert "P03/CT.nii.gz" not in found
    assert cases(survey(root)) == {"P01": "CT+PT"}


def test_paths_that_are_too_long_are_told(root: Path) -> None:
    here = Path.cwd()
    try:
        os.chdir(root)
        for _ in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    entry = [entry for entry in walk_tree(root) if entry.problem]
    assert len(entry) == 1
    assert "too long" in entry[0].problem
    assert cases(survey(root)) == {"P01": "CT+PT"}


def test_words_for_counts_and_odd_characters() -> None:
    assert [counted(n, "slice is", "slices are") for n in (1, 0, 2)] == [
        "1 slice is",
        "0 slices are",
        "2 slices are",
    ]
    assert counted(2, "file") == "2 files"
    assert visible("a\nb\x1b\udcffü") == "a\\nb\\x1b\\udcffü"
