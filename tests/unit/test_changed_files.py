"""Masks, scores and records that were changed after the run wrote them are told."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

from evaluator.errors import RunConflictError
from evaluator.runs.changed_files import change_warning, find_changes
from evaluator.runs.run_warnings import warnings_of
from evaluator.runs.store import RunStore
from evaluator.scoring.rescore import score_run
from tests.command import umd
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset


@pytest.fixture
def run(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b"], ("CT",), ("liver", "spleen"))
    return order("painter", data, engine="local")


def replace_member(archive, name, other):
    """Put another archive's member into an archive, with compression, as somebody may do."""
    with zipfile.ZipFile(archive) as opened:
        contents = {member: opened.read(member) for member in opened.namelist()}
    with zipfile.ZipFile(other) as opened:
        contents[name] = opened.read("s0/r0/spleen.nii.gz")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for member, content in contents.items():
            opened.writestr(member, content)


def test_files_that_were_changed_after_the_run_are_told(run, tmp_path):
    assert change_warning(run) == ""
    copy = RunStore(tmp_path / "runs" / "copy")
    shutil.copytree(run.path, copy.path, copy_function=shutil.copyfile)
    assert change_warning(copy) == ""  # other times, the same content

    archive = run.path / "masks/b.a/CT.zip"
    body = archive.read_bytes()
    replace_member(archive, "s0/r0/liver.nii.gz", run.path / "masks/a.a/CT.zip")
    changes = list(find_changes(run))
    assert changes == ["masks/b.a/CT/s0/r0/liver.nii.gz: the mask has another hash"]
    assert "CHANGED: 1 file differs" in change_warning(run)
    shown = umd("show", run.name)
    assert "CHANGED" in shown.stdout + shown.stderr
    with pytest.raises(RunConflictError, match="is not the mask that the run wrote"):
        score_run(run)
    archive.write_bytes(body)
    assert change_warning(run) == ""
    archive.unlink()
    assert "No such file" in change_warning(run)
    with pytest.raises(RunConflictError, match=r"No such file.*; no score was changed"):
        score_run(run)
    archive.write_bytes(body[: len(body) // 2])
    assert "the archive is damaged" in change_warning(run)
    with pytest.raises(RunConflictError, match=r"the archive is damaged.*; no score was changed"):
        score_run(run)
    archive.write_bytes(body)

    for folder in ("scores", "records"):
        (path,) = run.path.glob(f"{folder}/a.a/CT.json")
        text = path.read_text()
        record = json.loads(text)
        rows = record["rows"] if folder == "scores" else record["rounds"]
        rows[0]["seed"] = 77
        path.write_text(json.dumps(record))
        assert f"{folder}/a.a/CT.json: its content has another hash" in change_warning(run)
        done = umd("runs", "verify", run.name)
        assert done.returncode == 1
        assert "its content has another hash" in done.stdout
        path.write_text(text)
    assert umd("runs", "verify", run.name).returncode == 0

    path = run.path / "scores/a.a/CT.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    (change,) = find_changes(run)
    assert str(path) in change
    path.write_text(text)

    shutil.copyfile(run.path / "scores/a.a/CT.json", run.path / "scores/b.a/CT.json")
    assert "scores of another result" in change_warning(run)
    score_run(run)
    assert change_warning(run) == ""


def test_a_run_of_an_earlier_version_is_not_called_changed(run):
    (run.path / "files.json").unlink()
    (run.path / "scores/a.a/CT.json").unlink()
    assert warnings_of(run) == []
