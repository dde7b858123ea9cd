from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluator.geometry import make_grid
from evaluator.volumes import write_volume
from tests.tiny import GRIDS

UMD = Path(sys.executable).with_name("umd")


def umd(*arguments):
    done = subprocess.run(
        [UMD, "score", *map(str, arguments)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def objects(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in done.stdout.splitlines()]


@pytest.fixture
def folders(tmp_path):
    """Three pairs: equal, shifted, missing; and a prediction of nothing known."""
    for side in ("p", "r"):
        (tmp_path / side).mkdir()
    chance = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        labels = np.zeros(GRIDS["CT"].shape, np.uint8)
        labels[3:9, 3:9, 3:7] = 5
        labels[10:13, 2:5, 2:5] = 200
        write_volume(tmp_path / "r" / f"{name}.nii.gz", labels, GRIDS["CT"])
        if name == "two":
            labels = np.roll(labels, 1, axis=0)
        if name != "three":
            write_volume(tmp_path / "p" / f"{name}.nii.gz", labels, GRIDS["CT"])
    write_volume(
        tmp_path / "p" / "extra.nii.gz", chance.integers(0, 2, GRIDS["CT"].shape).astype(np.uint8), GRIDS["CT"]
    )
    (tmp_path / "labels.json").write_text('{"5": "liver", "200": "spleen", "7": "heart"}')
    return tmp_path


def test_two_folders(folders):
    done = umd(
        "--prediction", folders / "p", "--reference", folders / "r", "--labels", folders / "labels.json", "--json"
    )
    made = {one["name"]: one for one in objects(done)}
    assert list(made) == ["one", "three", "two"]
    assert "extra: a prediction without a reference" in done.stderr
    liver, _, heart = made["one"]["targets"]
    assert (liver["name"], liver["label"], liver["status"], liver["dice"], liver["hd95_mm"]) == (
        "liver",
        5,
        "ok",
        1.0,
        0.0,
    )
    assert liver["reference_ml"] == pytest.approx(6 * 6 * 4 * 2 * 2.5 * 3 / 1000)
    assert heart == {"name": "heart", "label": 7, "status": "undefined", "reference_ml": 0.0, "prediction_ml": 0.0}
    assert made["one"]["tolerance_mm"]["liver"] == 5.0
    assert made["one"]["spacing_mm"] == [2.0, 2.5, 3.0]
    assert made["two"]["targets"][0]["dice"] == pytest.approx(5 / 6)
    assert made["two"]["targets"][0]["hd_mm"] == pytest.approx(2.0)
    assert [target["status"] for target in made["three"]["targets"]] == ["missing"] * 3


def test_labels_by_number_and_a_file_of_one_mask(folders, tmp_path):
    (one,) = objects(
        umd(
            "--prediction",
            folders / "p/two.nii.gz",
            "--reference",
            folders / "r/two.nii.gz",
            "--json",
            "--tolerance-mm",
            3,
        )
    )
    assert [target["name"] for target in one["targets"]] == ["5", "200"]
    assert one["tolerance_mm"] == {"5": 3.0, "200": 3.0}
    mask = np.zeros(GRIDS["PT"].shape, np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    write_volume(tmp_path / "tumour.nii.gz", mask, GRIDS["PT"])
    write_volume(tmp_path / "none.nii.gz", mask * 0, GRIDS["PT"])
    (one,) = objects(
        umd("--prediction", tmp_path / "none.nii.gz", "--reference", tmp_path / "tumour.nii.gz", "--json", "--lesions")
    )
    (target,) = one["targets"]
    assert (target["name"], target["status"], target["dice"], target["rve"]) == ("tumour", "one-empty", 0.0, -1.0)
    assert "hd_mm" not in target
    assert target["lesions"]["missed"] == 1


def test_ids_that_differ_are_mapped_by_name(folders):
    swapped = folders / "swapped.nii.gz"
    from evaluator.volumes import read_labels

    labels, grid = read_labels(folders / "r/one.nii.gz")
    write_volume(swapped, np.where(labels == 5, 1, np.where(labels == 200, 2, 0)).astype(np.int16), grid)
    (folders / "theirs.json").write_text('{"labels": {"background": 0, "liver": 1, "spleen": 2}}')
    arguments = ["--prediction", swapped, "--reference", folders / "r/one.nii.gz", "--labels", folders / "labels.json"]
    (one,) = objects(umd(*arguments, "--prediction-labels", folders / "theirs.json", "--json"))
    assert {t["name"]: t.get("dice") for t in one["targets"]} == {"liver": 1.0, "spleen": 1.0, "heart": None}


def test_another_grid_is_refused_with_both_told_and_resampled_if_asked(folders):
    from evaluator.volumes import read_labels

    labels, grid = read_labels(folders / "r/one.nii.gz")
    affine = np.array(grid.affine)
    turned = np.array(affine) @ np.array([[-1, 0, 0, 13], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_volume(folders / "flipped.nii.gz", labels[::-1], make_grid(grid.shape, turned))
    arguments = ["--prediction", folders / "flipped.nii.gz", "--reference", folders / "r/one.nii.gz", "--json"]
    done = umd(*arguments)
    assert done.returncode == 4
    assert "RAS" in done.stderr
    assert "LAS" in done.stderr
    (one,) = objects(umd(*arguments, "--resample", "nearest"))
    assert [target["dice"] for target in one["targets"]] == [1.0, 1.0]


def test_it_goes_on_where_the_output_ends(folders):
    arguments = ["--prediction", folders / "p", "--reference", folders / "r", "-o", folders / "out.jsonl", "--json"]
    first = objects(umd(*arguments))
    whole = (folders / "out.jsonl").read_text()
    assert len(first) == 3
    (folders / "out.jsonl").write_text(whole[: len(whole) - 30])  # killed in the last line
    assert len(objects(umd(*arguments))) == 1
    assert sorted((folders / "out.jsonl").read_text().splitlines()) == sorted(whole.splitlines())
    (folders / "p/one.nii.gz").write_bytes((folders / "p/two.nii.gz").read_bytes())
    assert [one["name"] for one in objects(umd(*arguments))] == ["one"]


def test_broken_files_and_wrong_words(folders):
    (folders / "p/one.nii.gz").write_text("broken")
    done = umd("--prediction", folders / "p", "--reference", folders / "r", "--json")
    assert done.returncode == 4
    made = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert "cannot be read" in made["one"]["error"]
    assert made["two"]["targets"]
    assert umd("--prediction", folders / "p", "--reference", folders / "r/one.nii.gz").returncode == 2
    assert (
        "did you mean dice"
        in umd("--prediction", folders / "p", "--reference", folders / "r", "--metrics", "dise").stderr
    )
    (folders / "bad.json").write_text("[1, 2]")
    assert (
        umd("--prediction", folders / "p", "--reference", folders / "r", "--labels", folders / "bad.json").returncode
        == 3
    )
    assert umd().returncode == 2
