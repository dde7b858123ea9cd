"""Datasets by name and by path, where their files lie, and what the project's own manifests claim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.cli.data import data
from evaluator.datasets import dataset_names, load_dataset, scan_problem
from evaluator.datasets.phantom import ORGANS, generate
from evaluator.errors import DatasetError, ManifestError, UnknownNameError, UserError
from evaluator.imaging.geometry import affine_of, make_grid, to_world, voxel_ml
from evaluator.manifests.datasets import dataset_manifests, read_dataset_manifest
from evaluator.types import Reference, Scan
from evaluator.volumes import file_sha256, read_labels, write_volume
from tests.tiny import make_dataset
from tests.unit.test_phantom import TOY, manifest_of

REAL = ("ibsi-sts", "totalsegmentator-sample")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(*arguments: object):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


def test_the_projects_datasets() -> None:
    assert {*REAL, "phantom", "phantom-toy", "phantom-full"} <= set(dataset_names())


@pytest.mark.parametrize("name", sorted(dataset_manifests()))
def test_every_manifest_can_be_read_and_is_honest(name: str) -> None:
    manifest = read_dataset_manifest(dataset_manifests()[name])
    assert manifest.name == name
    assert manifest.synthetic == (manifest.phantom is not None)
    if manifest.synthetic:
        assert "ynthetic" in manifest.title and "generated" in manifest.reference_origin
    else:
        assert manifest.root.variable == "UMD_SHARED_DATA"
        assert all(row.sha256 and row.reference_sha256 for row in manifest.rows)


def test_a_name_nearly_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(UnknownNameError, match="phantom-toy"):
        load_dataset("phantom-toi")


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.toml"):
        load_dataset("/nowhere.toml")


def test_data_that_are_not_here(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--data-root"):
        load_dataset("ibsi-sts", tmp_path)


def test_a_phantom_is_made_once(own_cache: Path) -> None:
    first = load_dataset("phantom-toy")
    assert first.synthetic
    assert len(first.cases) == 2
    files = [scan.image for case in first.cases for scan in case.scans.values()]
    assert all(file.is_relative_to(own_cache / "data") and file.is_file() for file in files)
    times = [file.stat().st_mtime_ns for file in files]
    assert load_dataset("phantom-toy") == first
    assert [file.stat().st_mtime_ns for file in files] == times


def test_a_changed_plan_or_generator_makes_other_data(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset("phantom-toy").cases[0].scans["PT"].image
    monkeypatch.setattr("evaluator.datasets.load.version", lambda: "another")
    second = load_dataset("phantom-toy").cases[0].scans["PT"].image
    assert first.parents[1] != second.parents[1]
    assert first.is_file() and second.is_file()


def test_two_processes_may_ask_for_a_phantom_at_once(own_cache: Path) -> None:
    program = (
        "from evaluator.datasets import load_dataset; print(load_dataset('phantom-toy').sha256)"
    )
    asked = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in asked}
    assert [process.returncode for process in asked] == [0, 0, 0]
    assert len(answers) == 1 and len(answers.pop()) == 65
    assert len(list((own_cache / "data").iterdir())) == 1


def test_cases_come_as_the_list_has_them(tmp_path: Path) -> None:
    """References of one image are gathered, sessions are cases of their own, paths are below the root."""
    (tmp_path / "own.toml").write_text(
        'name = "own"\ntitle = "Own"\nlicense = "none"\ncitation = "none"\nsynthetic = false\nreference_origin = "expert"\n'
        '[root]\nfolder = "files"\n[labels.many]\nlung = [2, 3]\nliver = 5\n'
    )
    (tmp_path / "files").mkdir()
    (tmp_path / "own.tsv").write_text(
        "subject\tsession\tmodality\timage\treference\tunit\tlabels\tsplit\n"
        "s2\ta\tCT\tct.nii\tone.nii\tHU\t@many\ttrain\n"
        "s2\ta\tPT\tpet.nii\tthree.nii\tSUVbw\tlesion=1\ttrain\n"
        "s2\ta\tCT\tct.nii\ttwo.nii\tHU\tlesion=1\ttrain\n"
        "s2\tb\tCT\tct2.nii\tone2.nii\tHU\t@many\ttrain\n"
    )
    dataset = load_dataset(tmp_path / "own.toml")
    assert [case.id for case in dataset.cases] == ["s2.a", "s2.b"]
    first = dataset.cases[0]
    assert first.split == "train"
    assert list(first.scans) == ["CT", "PT"]
    assert [reference.path.name for reference in first.scans["CT"].references] == [
        "one.nii",
        "two.nii",
    ]
    assert first.scans["CT"].targets == ("lung", "liver", "lesion")
    assert first.scans["CT"].references[0].labels["lung"] == (2, 3)
    assert first.scans["PT"].image == tmp_path / "files" / "pet.nii"


def scan_of(folder: Path, **shapes: tuple[int, int, int]) -> Scan:
    """An image and references of the given shapes, by name."""
    for name, shape in shapes.items():
        write_volume(
            folder / f"{name}.nii.gz", np.ones(shape, dtype=np.uint8), make_grid(shape, np.eye(4))
        )
    image, *references = [folder / f"{name}.nii.gz" for name in shapes]
    return Scan(
        modality="CT",
        image=image,
        unit="HU",
        references=tuple(Reference(path=path, labels={path.stem: (1,)}) for path in references),
    )


def test_a_sound_scan_has_no_problem(tmp_path: Path) -> None:
    assert scan_problem(scan_of(tmp_path, image=(4, 5, 6), one=(4, 5, 6), two=(4, 5, 6))) is None


def test_problems_of_a_scan(tmp_path: Path) -> None:
    second = scan_of(tmp_path, image=(4, 5, 61), one=(4, 5, 61), two=(4, 5, 63))
    told = scan_problem(second)
    assert told and "61" in told and "63" in told
    (tmp_path / "two.nii.gz").write_bytes(b"no volume at all")
    told = scan_problem(second)
    assert told and "two.nii.gz" in told
    (tmp_path / "two.nii.gz").unlink()
    told = scan_problem(second)
    assert told and "two.nii.gz" in told and "missing" in told


def test_a_real_pet_that_has_not_its_masks_slices(shared_data: Path) -> None:
    """STS_035's PET lacks two of its CT's slices: measured against the CT's mask it is told, against its own it is not."""
    scans = next(case for case in load_dataset("ibsi-sts").cases if case.subject == "STS_035").scans
    assert scan_problem(scans["PT"]) is None
    crossed = Scan(
        modality="PT", image=scans["PT"].image, unit="SUVbw", references=scans["CT"].references
    )
    told = scan_problem(crossed)
    assert told and "61" in told and "63" in told


def test_real_sts(shared_data: Path) -> None:
    dataset = load_dataset("ibsi-sts")
    assert not dataset.synthetic
    assert "one for each subject" in dataset.reference_origin
    assert [case.subject for case in dataset.cases] == [
        f"STS_{n:03d}" for n in (1, 2, 8, 19, 25, 35, 42)
    ]
    for case in dataset.cases:
        assert set(case.scans) == {"CT", "MR", "PT"}
        for scan in case.scans.values():
            assert scan.targets == ("lesion",)
            assert scan_problem(scan) is None
            assert file_sha256(scan.image) == scan.sha256


def test_real_sts_has_one_contour_for_each_subject(shared_data: Path) -> None:
    """As the manifest says: volume and place are the same in all images, but for STS_019, whose CT lies apart."""
    for case in load_dataset("ibsi-sts").cases:
        places, volumes = {}, []
        for modality, scan in case.scans.items():
            labels, grid = read_labels(scan.references[0].path)
            voxels = np.argwhere(labels == 1)
            places[modality] = to_world(affine_of(grid), voxels).mean(axis=0)
            volumes.append(len(voxels) * voxel_ml(affine_of(grid)))
        assert max(volumes) < 1.03 * min(volumes)
        assert np.linalg.norm(places["MR"] - places["PT"]) < 0.5
        apart = np.linalg.norm(places["CT"] - places["MR"])
        assert 7 < apart < 8 if case.subject == "STS_019" else apart < 0.1


def test_real_totalsegmentator_names_what_the_labels_are(shared_data: Path) -> None:
    """Every value of the manifest stands for what TotalSegmentator's own table says."""
    dataset = load_dataset("totalsegmentator-sample")
    assert "model output" in dataset.reference_origin
    tables = json.loads((shared_data / "03_totalsegmentator" / "labels.json").read_text())
    for case in dataset.cases:
        (scan,) = case.scans.values()
        table = tables["total_mr" if scan.modality == "MR" else "total"]
        for name, values in scan.references[0].labels.items():
            theirs = {table[str(value)].replace("_", "-") for value in values}
            if name == "lung":
                assert all(word.startswith("lung-") for word in theirs)
            else:
                assert theirs in ({name}, {f"urinary-{name}"}), (
                    f"{name} is {values}, which are {theirs}"
                )


def test_real_totalsegmentator_is_not_mirrored(shared_data: Path) -> None:
    for case in load_dataset("totalsegmentator-sample").cases:
        (scan,) = case.scans.values()
        labels, grid = read_labels(scan.references[0].path)
        right, left = (
            to_world(
                affine_of(grid), np.argwhere(np.isin(labels, scan.references[0].labels[name]))
            ).mean(axis=0)[0]
            for name in ("kidney-right", "kidney-left")
        )
        assert right > left


def test_command_list() -> None:
    lines = run("list").output.splitlines()
    assert any(line.startswith("phantom ") and "ynthetic" in line for line in lines)
    listed = {
        body["name"]: body for body in map(json.loads, run("list", "--json").output.splitlines())
    }
    assert set(listed) == set(dataset_names())
    assert listed["phantom"]["synthetic"] is True and listed["ibsi-sts"]["synthetic"] is False


def test_command_show_and_path(own_cache: Path) -> None:
    shown = run("show", "phantom-toy").output
    assert "synthetic: yes" in shown and "phantom-002.a" in shown
    bodies = [json.loads(line) for line in run("show", "phantom-toy", "--json").output.splitlines()]
    assert [body["modality"] for body in bodies] == ["CT", "PT", "MR", "PT"]
    assert bodies[0]["targets"] == list(ORGANS)
    folder = Path(run("path", "phantom-toy").output.strip())
    assert all(Path(body["image"]).is_relative_to(folder) for body in bodies)


def test_command_phantom_writes_what_can_be_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "where"
    made = run("phantom", "--cases", 2, "--size", 24, 18, 40, "--seed", 7, "-o", folder)
    assert made.exit_code == 0, made.output
    (manifest,) = folder.glob("*.toml")
    assert str(manifest) in made.output
    dataset = load_dataset(manifest)
    assert dataset.synthetic and len(dataset.cases) == 2
    assert all(scan_problem(scan) is None for case in dataset.cases for scan in case.scans.values())
    assert run("verify", manifest).exit_code != 5
    again = run("phantom", "-o", folder)
    assert isinstance(again.exception, UserError) and "already" in str(again.exception)


def test_a_folder_made_elsewhere_can_be_moved(tmp_path: Path) -> None:
    generate(manifest_of(1, TOY), tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    dataset = load_dataset(tmp_path / "moved" / "made.toml")
    assert all(scan_problem(scan) is None for scan in dataset.cases[0].scans.values())


def test_every_command_has_an_example() -> None:
    assert data.commands.keys() >= {"list", "verify", "show", "path", "phantom"}
    for name, command in {"data": data, **data.commands}.items():
        assert (command.epilog or "").startswith("Example: umd data"), name


@pytest.mark.parametrize("variable", [None, "HOSPITAL_DATA", "UMD_SHARED_DATA"])
def test_data_are_found_by_option_variable_and_umd_data(tmp_path, monkeypatch, variable):
    """The first place that holds an image of the list; a place that is named and empty hides none that is not."""
    manifest = make_dataset(tmp_path / "made", ["a"], ("CT",))
    if variable:
        manifest.write_text(
            manifest.read_text() + f'\n[root]\nvariable = "{variable}"\nfolder = "cohort"\n'
        )
    folder = "cohort" if variable else "."
    places = {}
    for name in ("option", "variable", "umd-data", "empty"):
        places[name] = tmp_path / name
        (places[name] / folder).mkdir(parents=True, exist_ok=True)
        if name != "empty":
            for path in (tmp_path / "made").glob("*.nii.gz"):
                (places[name] / folder / path.name).write_bytes(path.read_bytes())

    def found(data_root=None):
        return load_dataset(manifest, data_root).cases[0].scans["CT"].image.parent

    for name in ("UMD_DATA", "UMD_SHARED_DATA", "HOSPITAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        with pytest.raises(DatasetError, match=f"set {variable} or UMD_DATA"):
            found()
    else:
        assert found() == tmp_path / "made"  # beside the manifest
    monkeypatch.setenv("UMD_DATA", str(places["empty"]))
    assert found() == (places["empty"] / "cohort" if variable else tmp_path / "made")
    monkeypatch.setenv("UMD_DATA", str(places["umd-data"]))
    assert found() == (places["umd-data"] / folder).resolve()
    if variable:
        monkeypatch.setenv(variable, str(places["variable"]))
        assert found() == places["variable"] / "cohort"
    assert found(places["option"]) == (places["option"] / folder).resolve()
