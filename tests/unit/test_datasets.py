"""Datasets by name and by path, the location of their files, and the project's manifests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.cli.data import data
from evaluator.datasets import (
    dataset_names,
    load_dataset,
    load_dataset_of_run,
    root_for,
    scan_problem,
)
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
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(*arguments: object):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


def test_the_projects_datasets() -> None:
    assert {*REAL, "phantom", "phantom-toy", "phantom-full"} <= set(dataset_names())


@pytest.mark.parametrize("name", sorted(dataset_manifests()))
def test_every_manifest_is_valid(name: str) -> None:
    manifest = read_dataset_manifest(dataset_manifests()[name])
    assert manifest.name == name
    assert manifest.synthetic == (manifest.phantom is not None)
    if manifest.synthetic:
        assert "ynthetic" in manifest.title and "generated" in manifest.reference_origin
    else:
        assert bool(manifest.debian) != (manifest.root.variable in ("UMD_SHARED_DATA", "UMD_DATA"))
        assert all(row.sha256 and row.reference_sha256 for row in manifest.rows)


def test_similar_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="phantom-toy"):
        load_dataset("phantom-toi")


def test_a_missing_manifest() -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.toml"):
        load_dataset("/nowhere.toml")


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--data-root"):
        load_dataset("ibsi-sts", tmp_path)


def test_a_phantom_is_generated_once(empty_cache: Path) -> None:
    first = load_dataset("phantom-toy")
    assert first.synthetic
    assert len(first.cases) == 2
    files: list[Path] = []
    for case in first.cases:
        files += [scan.image for scan in case.scans.values()]
    assert all(file.is_relative_to(empty_cache / "data") and file.is_file() for file in files)
    times = [file.stat().st_mtime_ns for file in files]
    assert load_dataset("phantom-toy") == first
    with pytest.raises(DatasetError, match="leave --data-root out"):
        load_dataset("phantom-toy", empty_cache)
    # a record of before, and a suite whose other datasets have files there
    assert root_for("phantom-toy", empty_cache) is None
    assert load_dataset_of_run("phantom-toy", empty_cache, None) == first
    assert [file.stat().st_mtime_ns for file in files] == times


def test_a_changed_plan_or_generator_gives_new_data(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset("phantom-toy").cases[0].scans["PT"].image
    monkeypatch.setattr("evaluator.datasets.phantom.version", lambda: "another")
    second = load_dataset("phantom-toy").cases[0].scans["PT"].image
    assert first.parents[1] != second.parents[1]
    assert first.is_file() and second.is_file()


def test_processes_can_generate_a_phantom_simultaneously(empty_cache: Path) -> None:
    program = (
        "from evaluator.datasets import load_dataset; print(load_dataset('phantom-toy').sha256)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)
    ]
    outputs = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(outputs) == 1 and len(outputs.pop()) == 65
    assert len(list((empty_cache / "data").iterdir())) == 1


def test_cases_follow_the_list(tmp_path: Path) -> None:
    """One image has several references, each session is a case, paths are relative to the root."""
    (tmp_path / "own.toml").write_text(
        'name = "own"\ntitle = "Own"\nlicense = "none"\ncitation = "none"\n'
        'synthetic = false\nreference_origin = "expert"\n'
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
    """An image and references of these shapes, by name."""
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


def test_a_valid_scan_has_no_problem(tmp_path: Path) -> None:
    assert scan_problem(scan_of(tmp_path, image=(4, 5, 6), first=(4, 5, 6), two=(4, 5, 6))) is None


def test_problems_of_a_scan(tmp_path: Path) -> None:
    second = scan_of(tmp_path, image=(4, 5, 61), first=(4, 5, 61), two=(4, 5, 63))
    problem = scan_problem(second)
    assert problem and "61" in problem and "63" in problem
    (tmp_path / "two.nii.gz").write_bytes(b"no volume at all")
    problem = scan_problem(second)
    assert problem and "two.nii.gz" in problem
    (tmp_path / "two.nii.gz").unlink()
    problem = scan_problem(second)
    assert problem and "two.nii.gz" in problem and "missing" in problem


def test_a_real_pet_with_fewer_slices_than_ct(shared_data: Path) -> None:
    """PET of STS_035 has two slices fewer than CT: it matches its reference, but not CT's."""
    scans = next(case for case in load_dataset("ibsi-sts").cases if case.subject == "STS_035").scans
    assert scan_problem(scans["PT"]) is None
    crossed = Scan(
        modality="PT", image=scans["PT"].image, unit="SUVbw", references=scans["CT"].references
    )
    problem = scan_problem(crossed)
    assert problem and "61" in problem and "63" in problem


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
    """Volume and position are equal in all images, except for the CT of STS_019 (see manifest)."""
    for case in load_dataset("ibsi-sts").cases:
        centres, volumes = {}, []
        for modality, scan in case.scans.items():
            labels, grid = read_labels(scan.references[0].path)
            voxels = np.argwhere(labels == 1)
            centres[modality] = to_world(affine_of(grid), voxels).mean(axis=0)
            volumes.append(len(voxels) * voxel_ml(affine_of(grid)))
        assert max(volumes) < 1.03 * min(volumes)
        assert np.linalg.norm(centres["MR"] - centres["PT"]) < 0.5
        distance = np.linalg.norm(centres["CT"] - centres["MR"])
        assert 7 < distance < 8 if case.subject == "STS_019" else distance < 0.1


def test_real_totalsegmentator_labels(shared_data: Path) -> None:
    """Labels of the manifest agree with TotalSegmentator's table."""
    dataset = load_dataset("totalsegmentator-sample")
    assert "model output" in dataset.reference_origin
    tables = json.loads((shared_data / "03_totalsegmentator" / "labels.json").read_text())
    for case in dataset.cases:
        (scan,) = case.scans.values()
        table = tables["total_mr" if scan.modality == "MR" else "total"]
        for name, values in scan.references[0].labels.items():
            table_names = {table[str(value)].replace("_", "-") for value in values}
            if name == "lung":
                assert all(word.startswith("lung-") for word in table_names)
            else:
                assert table_names in ({name}, {f"urinary-{name}"}), (
                    f"{name} is {values}, which are {table_names}"
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


def test_command_show_and_path(empty_cache: Path) -> None:
    shown = run("show", "phantom-toy").output
    assert "synthetic: yes" in shown and "phantom-002.a" in shown
    bodies = [json.loads(line) for line in run("show", "phantom-toy", "--json").output.splitlines()]
    assert [body["modality"] for body in bodies] == ["CT", "PT", "MR", "PT"]
    assert bodies[0]["targets"] == list(ORGANS)
    folder = Path(run("path", "phantom-toy").output.strip())
    assert all(Path(body["image"]).is_relative_to(folder) for body in bodies)


def test_command_phantom_writes_a_valid_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "where"
    generated = run("phantom", "--cases", 2, "--size", 24, 18, 40, "--seed", 7, "-o", folder)
    assert generated.exit_code == 0, generated.output
    (manifest,) = folder.glob("*.toml")
    assert str(manifest) in generated.output
    dataset = load_dataset(manifest)
    assert dataset.synthetic and len(dataset.cases) == 2
    for case in dataset.cases:
        assert all(scan_problem(scan) is None for scan in case.scans.values())
    assert run("verify", manifest).exit_code != 5
    repeated = run("phantom", "-o", folder)
    assert isinstance(repeated.exception, UserError) and "already" in str(repeated.exception)


def test_a_generated_folder_can_be_moved(tmp_path: Path) -> None:
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
    """The first folder with an image of the list is used; a folder without images is skipped."""
    manifest = make_dataset(tmp_path / "made", ["a"], ("CT",))
    if variable:
        manifest.write_text(
            manifest.read_text() + f'\n[root]\nvariable = "{variable}"\nfolder = "cohort"\n'
        )
    folder = "cohort" if variable else "."
    folders = {}
    for name in ("option", "variable", "umd-data", "empty"):
        folders[name] = tmp_path / name
        (folders[name] / folder).mkdir(parents=True, exist_ok=True)
        if name != "empty":
            for path in (tmp_path / "made").glob("*.nii.gz"):
                (folders[name] / folder / path.name).write_bytes(path.read_bytes())

    def folder_of_images(data_root=None):
        return load_dataset(manifest, data_root).cases[0].scans["CT"].image.parent

    for name in ("UMD_DATA", "UMD_SHARED_DATA", "HOSPITAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        with pytest.raises(DatasetError, match=f"set {variable} or UMD_DATA"):
            folder_of_images()
    else:
        assert folder_of_images() == tmp_path / "made"  # beside the manifest
    monkeypatch.setenv("UMD_DATA", str(folders["empty"]))
    assert folder_of_images() == (folders["empty"] / "cohort" if variable else tmp_path / "made")
    monkeypatch.setenv("UMD_DATA", str(folders["umd-data"]))
    assert folder_of_images() == (folders["umd-data"] / folder).resolve()
    if variable:
        monkeypatch.setenv(variable, str(folders["variable"]))
        assert folder_of_images() == folders["variable"] / "cohort"
    assert folder_of_images(folders["option"]) == (folders["option"] / folder).resolve()
