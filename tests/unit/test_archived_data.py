"""Archives in the place of a folder are refused, with a command that unpacks them safely."""

from __future__ import annotations

import re
import shlex
import subprocess
import zipfile

import pytest

from evaluator.datasets.importing import survey_folder
from evaluator.datasets.importing.layouts import LayoutOptions
from evaluator.errors import UserError
from tests.tiny import make_dataset

PATTERNS = LayoutOptions(
    images=("{subject}_{modality}_image.nii.gz",),
    references=("{subject}_{modality}_reference.nii.gz",),
    labels={"liver": (1,)},
)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    make_dataset(folder, ["a"], ("CT",), ("liver",))
    return folder


def test_archives_are_refused_with_the_command_that_unpacks_them(data, tmp_path):
    """The command is followed: nothing of a hostile archive leaves its folder."""
    hostile = tmp_path / "my data.zip"
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("../../escaped.txt", "x")
        archive.writestr("/absolute.txt", "x")
        for path in sorted(data.rglob("*.nii.gz")):
            archive.write(path, path.relative_to(data))
    with pytest.raises(
        UserError, match=r"is an archive \(\d+ entries, .* MB when unpacked"
    ) as error:
        survey_folder(hostile, "auto", LayoutOptions())
    command = str(error.value).splitlines()[1].strip()
    assert command.startswith("python3 -m zipfile -e ")
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(shlex.split(command), cwd=work, check=True)
    assert [path.name for path in work.iterdir()] == ["my data"]
    assert not (tmp_path / "escaped.txt").exists()
    assert survey_folder(work / "my data", "pattern", PATTERNS).scans


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.tar.gz", "mkdir -p ./a && tar -xf"),
        ("-x$(id).tgz", "mkdir -p './-x$(id)' && tar -xf"),
        ("a.7z", "7z x"),
        ("cut.zip", "cannot be read"),
        ("image.nii.gz", "give the folder"),
        ("gone.zip", "there is no folder"),
    ],
)
def test_files_in_place_of_a_folder(tmp_path, name, words):
    path = tmp_path / name
    if not name.startswith("gone"):
        path.write_bytes(b"PK")
    with pytest.raises(UserError, match=re.escape(words)):
        survey_folder(path, "auto", LayoutOptions())


def test_an_archive_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)") as error:
        survey_folder(path, "auto", LayoutOptions())
    assert "damaged" not in str(error.value)


def test_archives_in_a_folder_are_told(data, tmp_path):
    place = tmp_path / "downloads"
    place.mkdir()
    (place / "P01.tar").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds no image but 1 archive\. .*P01"):
        survey_folder(place, "auto", LayoutOptions())
    (data / "P09.tar").write_bytes(b"")
    survey = survey_folder(data, "pattern", PATTERNS)
    assert [entry.reason for entry in survey.left_out if entry.path.name == "P09.tar"] == [
        "an archive; unpack it first"
    ]
