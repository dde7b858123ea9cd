"""``umd score``: metrics of mask files, without a run."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evaluator.cli.main import main
from evaluator.imaging.geometry import make_grid
from evaluator.volumes import write_volume
from tests.tiny import GRIDS

UMD = Path(sys.executable).with_name("umd")


def umd(*arguments):
    """Run ``umd score`` in this process, which has already compiled the kernels."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", ["umd", "score", *map(str, arguments)])
        patch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main()
    assert "Traceback" not in stderr.getvalue()
    return SimpleNamespace(
        returncode=ended.value.code, stdout=stdout.getvalue(), stderr=stderr.getvalue()
    )


def objects(done):
    assert done.returncode == 0, done.stderr
    return [
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
        for line in done.stdout.splitlines()
    ]


@pytest.fixture
def folders(tmp_path):
    """Three references, and predictions: equal, shifted, missing, and without a reference."""
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
        tmp_path / "p" / "extra.nii.gz",
        chance.integers(0, 2, GRIDS["CT"].shape).astype(np.uint8),
        GRIDS["CT"],
    )
    (tmp_path / "labels.json").write_text('{"5": "liver", "200": "spleen", "7": "heart"}')
    return tmp_path


def test_two_folders_are_scored_by_name(folders):
    done = umd(
        "--prediction",
        folders / "p",
        "--reference",
        folders / "r",
        "--labels",
        folders / "labels.json",
        "--json",
    )
    scores = {score["name"]: score for score in objects(done)}
    assert list(scores) == ["one", "three", "two"]
    assert "extra: not scored, because it has no reference" in done.stderr
    liver, _, heart = scores["one"]["targets"]
    assert (liver["name"], liver["label"], liver["status"], liver["dice"], liver["hd95_mm"]) == (
        "liver",
        5,
        "ok",
        1.0,
        0.0,
    )
    assert liver["reference_ml"] == pytest.approx(6 * 6 * 4 * 2 * 2.5 * 3 / 1000)
    assert heart == {
        "name": "heart",
        "label": 7,
        "status": "undefined",
        "reference_ml": 0.0,
        "prediction_ml": 0.0,
    }
    assert scores["one"]["tolerance_mm"]["liver"] == 5.0
    assert scores["one"]["spacing_mm"] == [2.0, 2.5, 3.0]
    assert scores["two"]["targets"][0]["dice"] == pytest.approx(5 / 6)
    assert scores["two"]["targets"][0]["hd_mm"] == pytest.approx(2.0)
    assert [target["status"] for target in scores["three"]["targets"]] == ["missing"] * 3


def test_the_command_line_prints_an_object_for_each_pair(folders):
    done = subprocess.run(
        [UMD, "score", "--prediction", folders / "p", "--reference", folders / "r", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == [
        "one",
        "three",
        "two",
    ]
    assert done.returncode == 0


def test_labels_by_number_and_a_file_with_a_single_mask(folders, tmp_path):
    (score,) = objects(
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
    assert [target["name"] for target in score["targets"]] == ["5", "200"]
    assert score["tolerance_mm"] == {"5": 3.0, "200": 3.0}
    mask = np.zeros(GRIDS["PT"].shape, np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    write_volume(tmp_path / "tumour.nii.gz", mask, GRIDS["PT"])
    write_volume(tmp_path / "none.nii.gz", mask * 0, GRIDS["PT"])
    arguments = [
        "--prediction",
        tmp_path / "none.nii.gz",
        "--reference",
        tmp_path / "tumour.nii.gz",
        "--json",
    ]
    (score,) = objects(umd(*arguments))
    (target,) = score["targets"]
    assert (target["name"], target["label"], target["status"]) == ("tumour", 1, "one-empty")
    assert (target["dice"], target["rve"]) == (0.0, -1.0)
    assert "hd_mm" not in target
    (score,) = objects(umd(*arguments, "--metrics", "missed_lesions, false_lesions_ml,lesion_f1"))
    (target,) = score["targets"]
    assert target["missed_lesions"] == 1
    assert list(target)[5:] == ["missed_lesions", "false_lesions_ml", "lesion_f1"]


def test_different_label_numbers_are_mapped_by_name(folders):
    swapped = folders / "swapped.nii.gz"
    from evaluator.volumes import read_labels

    labels, grid = read_labels(folders / "r/one.nii.gz")
    write_volume(
        swapped, np.where(labels == 5, 1, np.where(labels == 200, 2, 0)).astype(np.int16), grid
    )
    (folders / "theirs.json").write_text('{"labels": {"background": 0, "liver": 1, "spleen": 2}}')
    arguments = [
        "--prediction",
        swapped,
        "--reference",
        folders / "r/one.nii.gz",
        "--labels",
        folders / "labels.json",
    ]
    (score,) = objects(umd(*arguments, "--prediction-labels", folders / "theirs.json", "--json"))
    assert {t["name"]: t.get("dice") for t in score["targets"]} == {
        "liver": 1.0,
        "spleen": 1.0,
        "heart": None,
    }


def test_a_different_grid_is_refused_without_resampling(folders):
    from evaluator.volumes import read_labels

    labels, grid = read_labels(folders / "r/one.nii.gz")
    affine = np.array(grid.affine)
    turned = np.array(affine) @ np.array([[-1, 0, 0, 13], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_volume(folders / "flipped.nii.gz", labels[::-1], make_grid(grid.shape, turned))
    arguments = [
        "--prediction",
        folders / "flipped.nii.gz",
        "--reference",
        folders / "r/one.nii.gz",
        "--json",
    ]
    done = umd(*arguments)
    assert done.returncode == 4
    assert "RAS" in done.stderr
    assert "LAS" in done.stderr
    (score,) = objects(umd(*arguments, "--resample", "nearest"))
    assert [target["dice"] for target in score["targets"]] == [1.0, 1.0]


def test_resampling_by_parts_gives_the_same_labels(monkeypatch):
    from evaluator.scoring import pair_volumes

    labels = np.random.default_rng(3).integers(0, 4, GRIDS["MR"].shape).astype(np.int16)
    complete = pair_volumes.resample_nearest(labels, GRIDS["MR"], GRIDS["CT"])
    monkeypatch.setattr(pair_volumes, "MOST_AT_ONCE", 31)
    by_parts = pair_volumes.resample_nearest(labels, GRIDS["MR"], GRIDS["CT"])
    assert complete[1] == by_parts[1] > 0
    np.testing.assert_array_equal(complete[0], by_parts[0])


def test_the_json_object_has_the_documented_keys(folders):
    arguments = [
        "--prediction",
        folders / "p/two.nii.gz",
        "--reference",
        folders / "r/two.nii.gz",
        "--json",
    ]
    (score,) = objects(umd(*arguments, "--labels", folders / "labels.json", "--tolerance-mm", 2))
    assert list(score) == ["name", "spacing_mm", "tolerance_mm", "targets"]
    assert score["tolerance_mm"] == {"liver": 2.0, "spleen": 2.0, "heart": 2.0}
    liver = score["targets"][0]
    numbers = [
        "reference_ml",
        "prediction_ml",
        "dice",
        "iou",
        "nsd",
        "hd_mm",
        "hd95_mm",
        "assd_mm",
        "masd_mm",
        "rve",
    ]
    assert list(liver) == ["name", "label", "status", *numbers]
    assert all(isinstance(liver[name], float) for name in numbers)


def test_tolerances_from_a_file(folders):
    (folders / "tolerances.toml").write_text(
        '[default]\ntolerance_mm = 4.5\nsource = "mine"\n'
        '[organs.liver]\ntolerance_mm = 1.0\nsource = "mine"\ntexts = ["x"]\n'
    )
    arguments = [
        "--prediction",
        folders / "p/two.nii.gz",
        "--reference",
        folders / "r/two.nii.gz",
        "--json",
    ]
    (score,) = objects(
        umd(
            *arguments,
            "--labels",
            folders / "labels.json",
            "--tolerances",
            folders / "tolerances.toml",
        )
    )
    assert score["tolerance_mm"] == {"liver": 1.0, "spleen": 4.5, "heart": 4.5}


def test_uptake_and_centre_line_metrics_apply_to_their_targets_only(folders):
    for name in ("one", "two", "three"):
        (folders / "i").mkdir(exist_ok=True)
        image = np.random.default_rng(1).gamma(1, 3, GRIDS["CT"].shape).astype(np.float32)
        write_volume(folders / "i" / f"{name}.nii.gz", image, GRIDS["CT"])
    arguments = ["--prediction", folders / "p", "--reference", folders / "r", "--json"]
    arguments += [
        "--labels",
        folders / "labels.json",
        "--metrics",
        "dice,cldice,suvpeak_error,mtv_error_ml",
    ]
    assert umd(*arguments).returncode == 2
    assert "need --image" in umd(*arguments).stderr
    scores = {score["name"]: score for score in objects(umd(*arguments, "--image", folders / "i"))}
    liver = scores["two"]["targets"][0]
    assert liver["not_applicable"] == ["cldice"]
    assert liver["mtv_error_ml"] == 0.0
    assert isinstance(liver["suvpeak_error"], float)
    (folders / "tube.json").write_text('{"aorta": 5}')
    tubes = objects(umd(*arguments[:5], "--metrics", "cldice", "--labels", folders / "tube.json"))
    assert tubes[0]["targets"][0]["cldice"] == 1.0
    (folders / "i/two.nii.gz").unlink()
    assert "no image for two" in umd(*arguments, "--image", folders / "i").stderr
    write_volume(folders / "i/two.nii.gz", np.full(GRIDS["PT"].shape, 1.0, np.float32), GRIDS["PT"])
    done = umd(*arguments, "--image", folders / "i")
    assert done.returncode == 4
    assert "image and reference are on different grids" in done.stdout


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_formats_may_be_mixed_and_masks_may_have_two_axes(tmp_path, suffix):
    from tests.unit.test_bounded_reading import save

    mask = np.zeros((12, 9), np.uint8)
    mask[3:8, 2:6] = 1
    grid = make_grid((12, 9, 1), [[-2, 0, 0, 5], [0, 2.5, 0, 6], [0, 0, 1, 0], [0, 0, 0, 1]])
    save(tmp_path / f"disc{suffix}", np.roll(mask, 1, axis=0), grid)
    save(tmp_path / "disc.nii.gz", mask, grid)
    (score,) = objects(
        umd(
            "--prediction",
            tmp_path / f"disc{suffix}",
            "--reference",
            tmp_path / "disc.nii.gz",
            "--json",
        )
    )
    assert len(score["spacing_mm"]) == 2
    (target,) = score["targets"]
    assert target["hd_mm"] == pytest.approx(score["spacing_mm"][0], rel=1e-6)


def test_a_reference_may_have_a_separate_header_file(tmp_path):
    from tests.unit.test_bounded_reading import labels_for, save

    labels = labels_for("u1", GRIDS["PT"].shape)
    save(tmp_path / "a.mhd", labels, GRIDS["PT"])
    save(tmp_path / "a.mha", labels, GRIDS["PT"])
    (score,) = objects(
        umd("--prediction", tmp_path / "a.mha", "--reference", tmp_path / "a.mhd", "--json")
    )
    assert {target["dice"] for target in score["targets"]} == {1.0}


def test_a_link_in_a_folder_fails_its_pair_only(folders):
    (folders / "p/two.nii.gz").unlink()
    (folders / "p/two.nii.gz").symlink_to(folders / "r/two.nii.gz")
    done = umd("--prediction", folders / "p", "--reference", folders / "r", "--json")
    assert done.returncode == 4
    scores = {score["name"]: score for score in map(json.loads, done.stdout.splitlines())}
    assert "must be a regular file without links" in scores["two"]["error"]
    assert scores["one"]["targets"]
    # a path that the user names may be a link
    (folders / "mine").symlink_to(folders / "p/one.nii.gz")
    (folders / "mine.nii.gz").symlink_to(folders / "p/one.nii.gz")
    assert objects(
        umd(
            "--prediction",
            folders / "mine.nii.gz",
            "--reference",
            folders / "r/one.nii.gz",
            "--json",
        )
    )


def test_an_image_is_not_a_mask(tmp_path):
    image = np.random.default_rng(0).integers(-(2**30), 2**30, (50, 50, 50)).astype(np.int32)
    grid = make_grid(image.shape, np.eye(4))
    write_volume(tmp_path / "a.nii.gz", image, grid)
    done = umd("--prediction", tmp_path / "a.nii.gz", "--reference", tmp_path / "a.nii.gz")
    assert done.returncode == 4
    assert "is one of the files an image?" in done.stderr


def test_scoring_resumes_where_the_output_ends(folders):
    arguments = [
        "--prediction",
        folders / "p",
        "--reference",
        folders / "r",
        "-o",
        folders / "out.jsonl",
        "--json",
    ]
    first = objects(umd(*arguments))
    complete = (folders / "out.jsonl").read_text()
    assert len(first) == 3
    (folders / "out.jsonl").write_text(
        complete[: len(complete) - 30]
    )  # the process was killed while it wrote the last line
    assert len(objects(umd(*arguments))) == 1
    assert sorted((folders / "out.jsonl").read_text().splitlines()) == sorted(complete.splitlines())
    (folders / "p/one.nii.gz").write_bytes((folders / "p/two.nii.gz").read_bytes())
    assert [score["name"] for score in objects(umd(*arguments))] == ["one"]
    names = [json.loads(line)["name"] for line in (folders / "out.jsonl").read_text().splitlines()]
    assert sorted(names) == ["one", "three", "two"]
    assert objects(umd(*arguments)) == []
    assert len(objects(umd(*arguments, "--tolerance-mm", 9))) == 3


def test_broken_files_and_wrong_arguments(folders):
    (folders / "p/one.nii.gz").write_text("broken")
    done = umd("--prediction", folders / "p", "--reference", folders / "r", "--json")
    assert done.returncode == 4
    scores = {score["name"]: score for score in map(json.loads, done.stdout.splitlines())}
    assert "cannot be read" in scores["one"]["error"]
    assert scores["two"]["targets"]
    assert (
        umd("--prediction", folders / "p", "--reference", folders / "r/one.nii.gz").returncode == 2
    )
    assert (
        "did you mean dice"
        in umd(
            "--prediction", folders / "p", "--reference", folders / "r", "--metrics", "dise"
        ).stderr
    )
    (folders / "bad.json").write_text("[1, 2]")
    assert (
        umd(
            "--prediction",
            folders / "p",
            "--reference",
            folders / "r",
            "--labels",
            folders / "bad.json",
        ).returncode
        == 3
    )
    assert umd().returncode == 2
