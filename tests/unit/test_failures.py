"""Failure analysis of run folders: counts, picks, cache, and files that cannot be read."""

from __future__ import annotations

import shutil
import zipfile

import pytest

import evaluator
from evaluator.analysis.failures import COLUMNS, find_failures
from tests.conftest import order
from tests.tiny import PAINTER, make_dataset

#: one answer for each organ: a correct mask, an empty one, another organ's position, an error
ARTIST = """
import numpy as np
from zoo_sdk import each_target

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        grid = np.indices(request.grid.shape).reshape(3, -1).T
        affine = np.array(request.grid.affine)
        places = grid @ affine[:3, :3].T + affine[:3, 3]

        def ball(target, away):
            centre = np.array(target.points[0].ras_mm) + away
            return (((places - centre) ** 2).sum(axis=1) <=
            49).reshape(request.grid.shape).astype(np.uint8)

        def paint(target):
            if target.name == "spleen":
                return np.zeros(request.grid.shape, np.uint8)
            if target.name == "brain":
                raise RuntimeError("no brains")
            return ball(target, (0, 0, 0) if target.name == "liver" else (-10, 0, 0))
        return each_target(request, paint)
"""


@pytest.fixture
def run(project, tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    project({"artist": ARTIST, "painter": PAINTER})
    data = make_dataset(
        tmp_path / "data", ["a", "b"], ("CT", "PT"), ("liver", "spleen", "aorta", "brain")
    )
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    return order("artist", data, engine="local")


def test_every_bad_prediction_is_classified(run):
    analysis = find_failures(evaluator.load(run))
    for name in COLUMNS:
        assert list(getattr(analysis, name).columns) == list(COLUMNS[name])
    failure_modes = {
        target: set(names) for target, names in analysis.cases.groupby("target")["failure_mode"]
    }
    assert failure_modes["spleen"] == {"empty"}
    assert failure_modes["brain"] == {"error"}
    assert "neighbour organ" in failure_modes["aorta"]
    assert set(
        analysis.cases.loc[analysis.cases["failure_mode"] == "neighbour organ", "neighbour"]
    ) <= {
        "liver",
        "spleen",
        "brain",
    }
    counts = analysis.counts[analysis.counts["target"] == "spleen"]
    assert list(counts["count"]) == [2, 2]
    assert list(counts["share"]) == [1.0, 1.0]
    assert (
        analysis.cases.loc[analysis.cases["target"] == "brain", "detail"].str.contains("no brains")
    ).all()


def test_worst_and_median_are_picked_for_pictures(run):
    results = evaluator.load(run)
    picks = find_failures(results).picks
    dice = results.scores[(results.scores["metric"] == "dice") & (results.scores["status"] == "ok")]
    lowest = dice[(dice["target"] == "liver") & (dice["modality"] == "CT")]["value"].min()
    worst = picks[
        (picks["target"] == "liver") & (picks["modality"] == "CT") & (picks["pick"] == "worst")
    ].iloc[0]
    assert worst["score"] == lowest
    assert run.masks.content(worst["mask"])
    assert "brain" not in set(picks["target"])


def test_what_was_found_is_kept_until_masks_or_references_change(run, monkeypatch):
    results = evaluator.load(run)
    first = find_failures(results).cases
    calls = []
    monkeypatch.setattr("evaluator.analysis.failures.classify", lambda *args: calls.append(args))
    assert find_failures(results).cases.equals(first)
    assert not calls


def test_references_that_are_not_here_are_said(run, tmp_path):
    shutil.move(tmp_path / "data", tmp_path / "gone")
    cases = find_failures(evaluator.load(run)).cases
    with_masks = cases[cases["status"] == "ok"]
    assert set(with_masks["failure_mode"]) == {"not classified"}
    assert with_masks["detail"].str.contains("references are not available").all()
    assert set(cases.loc[cases["target"] == "brain", "failure_mode"]) <= {"error", "crashed"}


def test_another_version_of_the_dataset_is_not_used(run, tmp_path):
    with (tmp_path / "data" / "tiny.toml").open("a") as file:
        file.write('description = "changed"\n')
    cases = find_failures(evaluator.load(run)).cases
    assert set(cases.loc[cases["status"] == "ok", "detail"]) == {
        "the dataset has changed since the run was made"
    }


def test_a_mask_that_is_gone_costs_itself_alone(run):
    results = evaluator.load(run)
    path = results.predictions.loc[results.predictions["target"] == "aorta", "mask"].iloc[0]
    scan, _, member = path.partition("/s0/")
    with zipfile.ZipFile(run.path / f"{scan}.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    del contents[f"s0/{member}"]
    with zipfile.ZipFile(run.path / f"{scan}.zip", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    cases = find_failures(results).cases
    gone = cases[cases["mask"] == path]
    assert list(gone["failure_mode"]) == ["not classified"]
    assert (cases["failure_mode"] != "not classified").sum() == len(cases) - 1


def test_the_threshold_is_the_users(run):
    results = evaluator.load(run)
    assert len(find_failures(results, poor=0.0).cases) < len(
        find_failures(results, poor=1.01).cases
    )
    assert len(find_failures(results, poor=1.01).cases) == len(results.predictions)


def test_what_could_not_be_read_is_looked_at_again(run, tmp_path):
    gone = tmp_path / "data" / "a_CT_reference.nii.gz"
    content = gone.read_bytes()
    gone.write_bytes(b"a share that answers with something else")
    results = evaluator.load(run)
    assert "not classified" in set(find_failures(results).cases["failure_mode"])
    gone.write_bytes(content)
    assert "not classified" not in set(find_failures(results).cases["failure_mode"])
