"""Folders in the layouts of public datasets, made small: what is imported, and what is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.cli.data import data as command
from evaluator.datasets import load_dataset
from evaluator.datasets.dataset_checks import check_counts
from evaluator.datasets.importing import DatasetText, survey_folder, write_dataset
from evaluator.datasets.importing.layout_files import LayoutOptions
from evaluator.datasets.phantom.like_umd import PET_CT, PET_MR, StandIn, generate_stand_in
from evaluator.errors import HostError
from evaluator.imaging.geometry import affine_of, to_world
from evaluator.manifests.datasets import dataset_manifests, read_dataset_manifest
from evaluator.manifests.layouts import layout_files, load_layout
from evaluator.volumes import read_grid, read_labels
from tests.tiny import make_dataset


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One subject with CT, MR and PET, each on another grid."""
    folder = tmp_path_factory.mktemp("layouts") / "tiny"
    make_dataset(folder, ["a"], ("CT", "MR", "PT"), ("liver", "spleen"))
    return folder


def put(tiny: Path, modality: str, kind: str, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny / f"a_{modality}_{kind}.nii.gz", place)


def run(*arguments: object):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", layout_files())
def test_a_layout_is_valid(name: str) -> None:
    layout = load_layout(layout_files()[name])
    assert layout.reference_origin
    manifest = read_dataset_manifest(dataset_manifests()["umd"])
    if name == "umd":
        assert layout.expected == manifest.expected


def test_a_stand_in_of_umd_is_imported(tmp_path: Path) -> None:
    plan = StandIn(subjects=4, size=(24, 18, 36), seed=3)
    assert (StandIn().pet_ct, StandIn().subjects) == (PET_CT, PET_CT + PET_MR) == (490, 954)
    generate_stand_in(plan, tmp_path / "umd")
    done = run("import", tmp_path / "umd", "--name", "mine", "--yes", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "layout umd, 4 subjects" in done.output
    assert "2 subjects have PET and CT; a complete copy has 490" in done.output
    dataset = load_dataset(tmp_path / "mine.toml")
    assert dataset.synthetic
    assert [sorted(case.scans) for case in dataset.cases] == [["CT", "PT"]] * 2 + [["MR", "PT"]] * 2
    assert {len(scan.targets) for case in dataset.cases for scan in case.scans.values()} == {13}
    assert dataset.subgroups["petmr-0003"]["scanner"] == "Biograph mMR"
    messages = [finding.message for finding in check_counts(dataset)]
    assert messages == [
        "2 subjects have PET and CT; a complete copy has 490",
        "2 subjects have PET and MR; a complete copy has 464",
    ]


def test_a_stand_in_that_does_not_fit_the_disk(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="fewer --cases"):
        generate_stand_in(StandIn(subjects=10**6), tmp_path / "umd")


def test_bic_mac(tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "train" / "sub-000"
    put(tiny, "CT", "image", root / "ct-label/ct.nii.gz", root / "features/nacpet.nii.gz")
    for phase in ("in", "out"):
        put(tiny, "CT", "image", root / f"features/mri_combined_{phase}_phase.nii.gz")
    put(tiny, "CT", "reference", root / "ct-label/organ_seg.nii.gz")
    put(tiny, "PT", "image", root / "pet-label/pet.nii.gz")
    put(tiny, "PT", "reference", root / "pet-label/organ_seg.nii.gz")
    survey = survey_folder(tmp_path / "data", "auto", LayoutOptions())
    assert survey.layout == "bic-mac"
    scans = {scan.modality: scan for scan in survey.scans}
    assert sorted(scans) == ["CT", "MR", "PT"]
    assert scans["MR"].image.name == "mri_combined_in_phase.nii.gz"
    assert scans["MR"].references[0].path.parent.name == "ct-label"
    assert scans["PT"].references[0].path.parent.name == "pet-label"
    reasons = {entry.path.name: entry.reason for entry in survey.left_out}
    assert "no SUV" in reasons["nacpet.nii.gz"]
    assert "--series each" in reasons["mri_combined_out_phase.nii.gz"]


def test_each_series_becomes_a_session_and_is_added_once(tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    put(tiny, "MR", "image", root / "a/T1.nii.gz", root / "a/T2.nii.gz")
    put(tiny, "MR", "reference", root / "a/T1-liver.nii.gz", root / "a/T2-liver.nii.gz")
    put(tiny, "PT", "image", root / "a/PET.nii.gz")
    put(tiny, "PT", "reference", root / "a/PET-liver.nii.gz")
    settings = {
        "images": ("{subject}/{modality}.nii.gz",),
        "references": ("{subject}/{modality}-{target}.nii.gz",),
    }
    first = survey_folder(root, "auto", LayoutOptions(**settings, preferred=("t2",)))
    assert [scan.image.name for scan in first.scans] == ["T2.nii.gz", "PET.nii.gz"]
    write_dataset(first, DatasetText(name="mine"), tmp_path)
    each = survey_folder(
        root, "auto", LayoutOptions(**settings, preferred=("t2",), each_series=True)
    )
    sessions = {(scan.session, scan.image.name) for scan in each.scans}
    assert sessions == {
        ("a", "T2.nii.gz"), ("a", "PET.nii.gz"), ("a-T1", "T1.nii.gz"), ("a-T1", "PET.nii.gz"),
    }  # fmt: skip
    written = write_dataset(each, DatasetText(name="mine"), tmp_path)
    assert (written.before, written.added) == (2, 2)
    assert write_dataset(each, DatasetText(name="mine"), tmp_path).added == 0
    assert len(load_dataset(tmp_path / "mine.toml").cases) == 2


def test_enhance_pet_shares_references_with_pet(tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    put(tiny, "CT", "image", root / "imaging-data/images/CT/0001.nii.gz")
    put(tiny, "PT", "image", root / "imaging-data/images/PT/0001.nii.gz")
    organs = root / "imaging-data/ground-truth/Organs/0001.nii.gz"
    put(tiny, "CT", "reference", organs, root / "imaging-data/ground-truth/Ribs/0001.nii.gz")
    alone = survey_folder(root, "auto", LayoutOptions())
    assert (alone.layout, [scan.modality for scan in alone.scans]) == ("enhance-pet", ["CT"])
    done = run("import", root, "--name", "mine", "--share-references", "--yes", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "1 image gets references of another image" in done.output
    dataset = load_dataset(tmp_path / "mine.toml")
    assert dataset.circular == ("moose",)
    assert "MOOSE" in dataset.reference_origin
    pet = dataset.cases[0].scans["PT"]
    resampled, grid = read_labels(pet.references[0].path)
    assert grid == read_grid(pet.image)
    assert pet.references[0].path.is_relative_to(tmp_path / "mine-references")
    source, source_grid = read_labels(organs)
    centres = [
        to_world(affine_of(g), np.argwhere(a == 1).mean(axis=0))
        for a, g in ((resampled, grid), (source, source_grid))
    ]
    assert np.linalg.norm(centres[0] - centres[1]) < 1.5


def test_autopet(tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "PETCT_1" / "visit 1"
    put(tiny, "PT", "image", root / "SUV.nii.gz", root / "CTres.nii.gz", root / "PET.nii.gz")
    put(tiny, "CT", "image", root / "CT.nii.gz")
    put(tiny, "PT", "reference", root / "SEG.nii.gz")
    survey = survey_folder(tmp_path / "data", "auto", LayoutOptions())
    assert survey.layout == "autopet"
    assert {(scan.modality, scan.image.name) for scan in survey.scans} == {
        ("PT", "SUV.nii.gz"),
        ("CT", "CTres.nii.gz"),
    }
    assert {entry.path.name for entry in survey.left_out} == {"CT.nii.gz", "PET.nii.gz"}
