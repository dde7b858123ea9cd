"""``umd score``: what is told about names, labels and files, and what is never overwritten."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluator.errors import ManifestError
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.label_tables import read_label_table
from evaluator.volumes import write_volume
from tests.unit.test_score_files import objects, umd

if TYPE_CHECKING:
    from pathlib import Path

GRID = make_grid((12, 10, 8), np.diag([1.0, 1.5, 2.0, 1.0]))


def box(*labels: int, shift: int = 0, dtype: Any = np.uint8) -> Any:
    """A volume with a box of 4 x 4 x 4 voxels for each label, along the third axis."""
    volume = np.zeros(GRID.shape, dtype)
    for n, label in enumerate(labels):
        volume[3 + shift : 7 + shift, 3:7, 4 * n : 4 * n + 3] = label
    return volume


def save(path: Path, volume: Any, grid: Any = GRID) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_volume(path, volume, grid)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("c1", "c2"):
        save(tmp_path / "r" / f"{name}.nii.gz", box(1))
        save(tmp_path / "p" / f"{name}.nii.gz", box(1))
    return tmp_path


def score(folder: Path, *arguments: Any) -> Any:
    return umd("--prediction", folder / "p", "--reference", folder / "r", *arguments)


def names(done: Any) -> dict[str, list[str]]:
    return {one["name"]: [t["name"] for t in one["targets"]] for one in objects(done)}


# ---- files that are there


@pytest.mark.parametrize(
    "content",
    [b"subject,age\ns1,61\n", b'{"labels": {"liver": 1}}', b"\x89PNG\xff\xfe", b"1\n2\n",
     b'{"a": 1}\n{"b": 2}\n', b"[1, 2]\n", b'{"name": "x"}\n'],
)  # fmt: skip
def test_an_output_that_is_something_else_is_kept(folders: Path, content: bytes) -> None:
    (folders / "out").write_bytes(content)
    done = score(folders, "-o", folders / "out")
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (folders / "out").read_bytes() == content
    done = score(folders, "-o", folders / "out", "--force")
    assert done.returncode == 0
    assert f"{len(content)} bytes" in done.stderr
    assert len((folders / "out").read_text().splitlines()) == 2


def test_an_output_is_never_an_input(folders: Path) -> None:
    (folders / "labels.json").write_text('{"liver": 1}')
    for path in ("r/c1.nii.gz", "p/c2.nii.gz", "labels.json"):
        before = (folders / path).read_bytes()
        arguments = ("--labels", folders / "labels.json", "-o", folders / path, "--force")
        done = score(folders, *arguments)
        assert done.returncode == 2
        assert "one of the inputs" in done.stderr
        assert (folders / path).read_bytes() == before


def test_lines_of_json_without_a_key_are_continued(folders: Path) -> None:
    lines = score(folders, "--json").stdout
    (folders / "out").write_text(lines)
    assert len(objects(score(folders, "-o", folders / "out", "--json"))) == 2
    assert objects(score(folders, "-o", folders / "out", "--json")) == []


# ---- names of files


def test_one_name_in_two_unicode_forms_is_one_case(tmp_path: Path) -> None:
    name = "Fäll 한"
    save(tmp_path / "r" / (unicodedata.normalize("NFC", name) + ".nii.gz"), box(1))
    save(tmp_path / "p" / (unicodedata.normalize("NFD", name) + ".nii.gz"), box(1))
    (one,) = objects(score(tmp_path, "--json"))
    assert one["name"] == unicodedata.normalize("NFC", name)
    assert one["targets"][0]["dice"] == 1.0


def test_folders_in_which_no_name_agrees(tmp_path: Path) -> None:
    for name in ("c01", "c02"):
        save(tmp_path / "r" / f"{name}.nii.gz", box(1))
        save(tmp_path / "p" / f"{name}_0000.nii.gz", box(1))
    done = score(tmp_path, "--json")
    assert done.returncode == 5
    assert "none of the predictions matches a reference" in done.stderr
    assert "is it the prediction of c01? _0000 is nnU-Net's suffix" in done.stderr
    assert [json.loads(line)["targets"][0]["status"] for line in done.stdout.splitlines()] == [
        "missing",
        "missing",
    ]


def test_an_empty_folder_of_predictions_is_told(folders: Path) -> None:
    for path in (folders / "p").iterdir():
        path.unlink()
    done = score(folders)
    assert done.returncode == 5
    assert "the folder of predictions holds no volume" in done.stderr


def test_a_missing_prediction_is_told_and_strict_makes_it_an_error(folders: Path) -> None:
    (folders / "p" / "c2.nii.gz").unlink()
    done = score(folders)
    assert done.returncode == 0
    assert "1 of 2 predictions are missing: c2" in done.stderr
    assert score(folders, "--strict").returncode == 5
    save(folders / "p" / "C2.nii.gz", box(1))
    assert "C2: not scored, because it has no reference; is it the prediction of c2?" in (
        score(folders).stderr
    )


def test_strict_accepts_what_needs_no_word(folders: Path) -> None:
    assert score(folders, "--strict").returncode == 0


# ---- labels


def test_label_1_has_one_name_in_the_whole_folder(folders: Path) -> None:
    assert names(score(folders, "--json")) == {"c1": ["c1"], "c2": ["c2"]}
    save(folders / "r" / "c2.nii.gz", box(1, 2))
    save(folders / "p" / "c2.nii.gz", box(1, 2))
    assert names(score(folders, "--json")) == {"c1": ["1"], "c2": ["1", "2"]}
    save(folders / "r" / "c1.nii.gz", box())
    save(folders / "p" / "c1.nii.gz", box())
    assert names(score(folders, "--json")) == {"c1": ["1"], "c2": ["1", "2"]}


def test_a_mask_of_255_is_compared_with_a_mask_of_1(tmp_path: Path) -> None:
    save(tmp_path / "r" / "c.nii.gz", box(255))
    save(tmp_path / "p" / "c.nii.gz", box(1, shift=1))
    done = score(tmp_path, "--json")
    (one,) = objects(done)
    assert [target["dice"] for target in one["targets"]] == [0.75]
    assert "a mask of 255" in one["warnings"][0]
    assert "a mask of 255" in done.stderr
    assert score(tmp_path, "--strict").returncode == 5


def test_files_without_a_common_label_are_told(tmp_path: Path) -> None:
    save(tmp_path / "r" / "c.nii.gz", box(2))
    save(tmp_path / "p" / "c.nii.gz", box(3))
    assert "no label in common: the reference holds 2, the prediction 3" in score(tmp_path).stderr


def test_a_label_of_the_table_that_no_file_holds_is_told(folders: Path) -> None:
    (folders / "labels.json").write_text('{"liver": 1, "spleen": 7}')
    done = score(folders, "--labels", folders / "labels.json")
    assert "spleen: no file holds its label 7" in done.stderr
    assert "liver: no file" not in done.stderr


def test_an_unknown_organ_is_told_where_its_tolerance_counts(folders: Path) -> None:
    (folders / "labels.json").write_text('{"gizzard": 1}')
    arguments = ("--labels", folders / "labels.json")
    assert "gizzard: no organ of this name" in score(folders, *arguments).stderr
    assert "gizzard: no" not in score(folders, *arguments, "--metrics", "dice").stderr
    assert "gizzard: no" not in score(folders, *arguments, "--tolerance-mm", 3).stderr


def test_voxels_to_ignore_count_neither_way(tmp_path: Path) -> None:
    table = {"labels": {"background": 0, "tumour": 1, "all": [1, 2], "ignore": 3}}
    (tmp_path / "dataset.json").write_text(json.dumps(table))
    reference = box(1, 2)
    reference[8:, :, :] = 3
    prediction = box(1, 2)
    prediction[8:10, :, :] = 1
    save(tmp_path / "r" / "c.nii.gz", reference)
    save(tmp_path / "p" / "c.nii.gz", prediction)
    done = score(tmp_path, "--labels", tmp_path / "dataset.json", "--json")
    (one,) = objects(done)
    assert [target["name"] for target in one["targets"]] == ["tumour", "all"]
    for target in one["targets"]:
        assert (target["dice"], target["rve"], target["hd_mm"], target["nsd"]) == (1, 0, 0, 1)
    assert "voxels with label 3 (ignore)" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"liver": 1.7}', "1.7 is not a whole number"),
        ('{"liver": NaN}', "NaN is not a whole number"),
        ('{"liver": Infinity}', "Infinity is not a whole number"),
        ('{"liver": 99999999999999999999}', "too large"),
        ('{"liver": true}', "true is not a whole number"),
        ('{"liver": null}', "null is not a whole number"),
        ('{"liver": [1, 2.5]}', "2.5 is not a whole number"),
        ('{"liver": []}', "has no label"),
        ('{"liver": [0, 1]}', "the background"),
        ('{"liver": -1}', "negative"),
        ('{"liver": 1, "liver": 2}', "'liver' stands in it twice"),
        ('{"labels": {"a": 1, "a": 1}}', "twice"),
        ("{}", "names no target"),
        ('{"labels": {}}', "names no target"),
        ('{"background": 0}', "names no target"),
        ('{"ignore": 2, "background": 0}', "names no target"),
        ('{"a": "b"}', "not a whole number"),
        ('{"1.5": "liver"}', "not a whole number"),
        ("[1, 2]", r"no names with numbers, but \[1, 2\]"),
        ('{"labels": ["background", "liver"]}', "no names with numbers"),
        ('{"L\\u00e9ber": 1, "Le\\u0301ber": 2}', "twice"),
        ('{"liver": 1, " liver": 2}', "twice"),
        ('{"liver": 1, "2": "liver"}', "twice"),
        ('{"2": "liver", "liver": 1}', "twice"),
        ('{"": 1}', "empty name"),
        ('{"li\\u001b[31mver": 1}', "printable"),
        (json.dumps({"l" * 201: 1}), "at most 200"),
        ("name,value\nliver,1\n", "not JSON.*columns index and name"),
        ('"liver"', "no table of labels"),
        ("liver", "no table of labels"),
    ],
)
def test_tables_with_a_slip_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ManifestError, match=r"labels\.json.*" + words):
        read_label_table(tmp_path / "labels.json")


@pytest.mark.parametrize(
    ("content", "targets"),
    [
        ('{"liver": 5}', {"liver": (5,)}),
        ('{"5": "liver", "0": "background"}', {"liver": (5,)}),
        ('{"liver": 5.0}', {"liver": (5,)}),
        (
            '{"labels": {"background": 0, "whole": [1, 2], "core": [2]}}',
            {"whole": (1, 2), "core": (2,)},
        ),
        ('\ufeff{"left kidney": 1}', {"left kidney": (1,)}),
        ('{"liver": "5", " spleen\\n": 6}', {"liver": (5,), "spleen": (6,)}),
        ('{"4": "lung", "5": "lung"}', {"lung": (4, 5)}),
    ],
)  # fmt: skip
def test_tables_of_labels(tmp_path: Path, content: str, targets: Any) -> None:
    (tmp_path / "labels.json").write_text(content, encoding="utf-8")
    assert read_label_table(tmp_path / "labels.json").targets == targets


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ('{"liver": 1, "spleen": 1}', "liver and spleen have the same label: 1"),
        ('{"Liver": 1, "liver": 2}', "Liver and liver differ in capitals only"),
        ('{"whole": [1, 2], "core": [2]}', None),
    ],
)
def test_targets_that_are_likely_one_are_told(
    folders: Path, content: str, note: str | None
) -> None:
    (folders / "labels.json").write_text(content)
    told = score(folders, "--labels", folders / "labels.json").stderr
    if note:
        assert note in told
    else:
        assert read_label_table(folders / "labels.json").notes == ()


# ---- grids and images


def test_resampling_what_lies_elsewhere_is_told(tmp_path: Path) -> None:
    away = np.array(GRID.affine)
    away[0, 3] = 5000
    save(tmp_path / "r" / "c.nii.gz", box(1))
    save(tmp_path / "p" / "c.nii.gz", box(1), make_grid(GRID.shape, away))
    done = score(tmp_path, "--resample", "nearest")
    assert "no place in common" in done.stderr
    away[0, 3] = 0.1
    save(tmp_path / "p" / "c.nii.gz", box(1), make_grid(GRID.shape, away))
    (one,) = objects(score(tmp_path, "--json"))
    assert one["targets"][0]["dice"] == 1.0
    assert "up to 0.1 mm apart" in one["warnings"][0]


def test_an_image_in_bq_per_ml_is_told(tmp_path: Path) -> None:
    save(tmp_path / "r" / "c.nii.gz", box(1))
    save(tmp_path / "p" / "c.nii.gz", box(1, shift=1))
    image = np.random.default_rng(0).uniform(0, 1, GRID.shape).astype(np.float32)
    for factor, told in ((8.0, False), (9000.0, True)):
        save(tmp_path / "i" / "c.nii.gz", image * np.float32(factor))
        arguments = ("--image", tmp_path / "i", "--metrics", "suvmax_error", "--json")
        done = score(tmp_path, *arguments)
        assert ("Bq/ml" in done.stderr) == told


def disc(shift: int) -> Any:
    i, j = np.mgrid[:64, :64]
    return ((i - 32) ** 2 + (j - 30 - shift) ** 2 < 18**2).astype(np.uint8)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_scored_as_a_plane(tmp_path: Path, axis: int) -> None:
    import nibabel

    keys = ("nsd", "hd95_mm", "assd_mm", "dice", "reference_mm2", "prediction_mm2")
    for name, shift in (("r", 0), ("p", 3)):
        (tmp_path / name).mkdir()
        plane = disc(shift)
        nibabel.save(nibabel.Nifti1Image(plane, np.eye(4)), tmp_path / name / "plane.nii.gz")
        volume = np.expand_dims(plane, axis)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / name / "slice.nii.gz")
    metrics = "dice,nsd,hd95,assd,volume_error_ml"
    done = score(tmp_path, "--tolerance-mm", 2, "--json", "--metrics", metrics)
    plane, one_slice = (one["targets"][0] for one in objects(done))
    assert {key: plane[key] for key in keys} == {key: one_slice[key] for key in keys}
    assert plane["reference_mm2"] == pytest.approx(float(disc(0).sum()))
    assert plane["hd95_mm"] == 3.0
    assert plane["not_applicable"] == one_slice["not_applicable"] == ["volume_error_ml"]
    assert "reference_ml" not in plane


# ---- what is printed


def test_means_and_a_table(folders: Path) -> None:
    save(folders / "p" / "c1.nii.gz", box(1, shift=1))
    save(folders / "r" / "c3.nii.gz", box(1))
    (folders / "labels.json").write_text('{"liver": 1}')
    arguments = ("--labels", folders / "labels.json", "--metrics", "dice,hd")
    lines = score(folders, *arguments).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("c")] == [
        ["c1", "liver", "1", "ok", "0.7500", "1.0000", *["0.144"] * 2],
        ["c2", "liver", "1", "ok", "1.0000", "0.0000", *["0.144"] * 2],
        ["c3", "liver", "1", "missing", *["-"] * 4],
    ]
    means = lines[lines.index("means over pairs") + 1 :]
    assert "missing as 0" in " ".join(means)
    assert means[-1].split() == ["liver", "3", "1", "0", "0.8750", "0.5833", "0.5000"]
    rows = list(csv.DictReader(score(folders, *arguments, "--csv").stdout.splitlines()))
    assert [(row["name"], row["status"], row["dice"], row["hd_mm"]) for row in rows] == [
        ("c1", "ok", "0.75", "1.0"),
        ("c2", "ok", "1.0", "0.0"),
        ("c3", "missing", "", ""),
    ]
    table = score(folders, *arguments, "--markdown").stdout
    assert "| c1 | liver | 1 | ok | 0.7500 | 1.0000 |" in table


def test_a_file_that_follows_csv_is_explained(folders: Path) -> None:
    done = score(folders, "--csv", folders / "out.csv")
    assert done.returncode == 2
    assert "umd score ... --csv > FILE" in done.stderr


def test_a_run_takes_no_options_of_files() -> None:
    done = umd("some-run", "--metrics", "dice", "--tolerance-mm", 5)
    assert done.returncode == 2
    assert "--metrics" in done.stderr
    assert "--tolerance-mm" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--tolerance-mm", "nan", "not a finite number"),
        ("--tolerance-mm", "inf", "not a finite number"),
        ("--metrics", " , ", "names no metric"),
    ],
)
def test_options_without_a_meaning_are_refused(
    folders: Path, option: str, value: str, words: str
) -> None:
    done = score(folders, option, value)
    assert done.returncode == 2
    assert words in done.stderr


def test_tolerances_that_are_not_valid_are_told_by_field(folders: Path) -> None:
    text = (
        '[default]\ntolerance_mm = nan\n[organs.liver]\ntexts = ["liver"]\nsource = "x"\nmm = 2\n'
    )
    (folders / "t.toml").write_text(text)
    done = score(folders, "--tolerances", folders / "t.toml")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert lines[0].endswith("t.toml is not valid:")
    assert [line.strip() for line in lines[1:]] == [
        "default.tolerance_mm: should be a finite number",
        "default.source: is missing",
        "organs.liver.tolerance_mm: is missing",
        "organs.liver.mm: is not known",
    ]


def test_folders_of_folders_are_explained(folders: Path) -> None:
    (folders / "r").rename(folders / "inner")
    (folders / "r" / "s1").mkdir(parents=True)
    done = score(folders)
    assert done.returncode == 2
    assert "its folders (s1) are not searched" in done.stderr
    assert "umd import-predictions" in done.stderr


def test_label_1_of_a_map_of_several_labels_is_no_mask_of_the_files_name(tmp_path: Path) -> None:
    save(tmp_path / "r.nii.gz", box(1, 2))
    done = umd(
        "--prediction", tmp_path / "r.nii.gz", "--reference", tmp_path / "r.nii.gz", "--json"
    )
    (pair,) = objects(done)
    assert [target["name"] for target in pair["targets"]] == ["1", "2"]


def test_files_whose_names_are_no_text_are_scored_under_names_that_json_can_hold(tmp_path):
    for folder in ("p", "r"):
        for name in (b"c\xff1", b"c\xfe1"):
            save(tmp_path / folder / os.fsdecode(name + b".nii.gz"), box(1))
    assert names(score(tmp_path, "--json")) == {"c\\xff1": ["c\\xff1"], "c\\xfe1": ["c\\xfe1"]}
