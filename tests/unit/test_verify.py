"""Verification: no findings for a valid dataset, and one finding for each defect."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluator.cli.data import data
from evaluator.datasets import load_dataset
from evaluator.datasets.verify import verify
from evaluator.findings import Finding
from evaluator.imaging.geometry import affine_of, make_grid
from evaluator.types import Dataset
from evaluator.volumes import read_grid, read_image, read_labels, write_volume
from tests.unit.test_phantom import TOY, manifest_of

CT = "phantom-001/CT.nii.gz"
PET = "phantom-001/PT.nii.gz"
CT_REFERENCE = "phantom-001/CT_reference.nii.gz"
PET_REFERENCE = "phantom-001/PT_reference.nii.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A valid dataset of two subjects."""
    from evaluator.datasets.phantom import generate

    generate(manifest_of(2, TOY), tmp_path / "data")
    return tmp_path / "data"


def load(folder: Path, *, hashes: bool = False) -> Dataset:
    """The dataset, by default without hashes, so a changed file is judged by its content."""
    if not hashes:
        case_list = folder / "made.tsv"
        case_list.write_text(
            "\n".join(
                "\t".join(line.split("\t")[:7]) for line in case_list.read_text().splitlines()
            )
        )
    return load_dataset(folder / "made.toml")


def change_image(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image, grid = read_image(path)
    write_volume(path, change(image), grid)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_clean_dataset_has_no_findings(folder: Path) -> None:
    assert verify(load(folder, hashes=True)) == []


def test_a_finding_is_frozen(folder: Path) -> None:
    (folder / CT).unlink()
    finding = verify(load(folder))[0]
    with pytest.raises(FrozenInstanceError):
        finding.severity = "note"  # type: ignore[misc]


def test_a_file_that_changed(folder: Path) -> None:
    change_image(folder / CT, lambda image: (image + 1).astype(np.float32))
    finding = only(verify(load(folder, hashes=True)))
    assert (finding.severity, finding.case, finding.modality) == ("error", "phantom-001.a", "CT")
    assert "sha256" in finding.message
    assert finding.path == str(folder / CT)


@pytest.mark.parametrize("name", [CT, CT_REFERENCE])
def test_a_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    finding = only(verify(load(folder)))
    assert finding.severity == "error"
    assert "missing" in finding.message and name in finding.message


@pytest.mark.parametrize("name", [CT, CT_REFERENCE])
def test_a_file_cut_short(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    finding = only(verify(load(folder)))
    assert (finding.severity, finding.case, finding.modality) == ("error", "phantom-001.a", "CT")


def test_a_reference_on_a_different_grid(folder: Path) -> None:
    labels, grid = read_labels(folder / CT_REFERENCE)
    shifted = affine_of(grid)
    shifted[0, 3] += 0.5
    write_volume(folder / CT_REFERENCE, labels, make_grid(grid.shape, shifted))
    finding = only(verify(load(folder)))
    assert finding.severity == "error"
    assert "0.5 mm apart" in finding.message


def test_a_reference_with_a_slice_less(folder: Path) -> None:
    labels, grid = read_labels(folder / CT_REFERENCE)
    i, j, k = grid.shape
    write_volume(folder / CT_REFERENCE, labels[:, :, :-1], make_grid((i, j, k - 1), grid.affine))
    finding = only(verify(load(folder)))
    assert finding.severity == "error"
    assert "shapes differ" in finding.message


def test_undeclared_labels(folder: Path) -> None:
    labels, grid = read_labels(folder / CT_REFERENCE)
    labels = labels.copy()
    labels[0, 0, 0] = 77
    write_volume(folder / CT_REFERENCE, labels, grid)
    finding = only(verify(load(folder)))
    assert finding.severity == "note"
    assert "77" in finding.message


def test_missing_labels(folder: Path) -> None:
    labels, grid = read_labels(folder / CT_REFERENCE)
    write_volume(folder / CT_REFERENCE, np.where(labels == 6, 0, labels).astype(np.uint8), grid)
    finding = only(verify(load(folder)))
    assert finding.severity == "note"
    assert "spleen" in finding.message


def test_an_empty_reference(folder: Path) -> None:
    labels, grid = read_labels(folder / CT_REFERENCE)
    write_volume(folder / CT_REFERENCE, np.zeros_like(labels), grid)
    finding = only(verify(load(folder)))
    assert finding.severity == "warning"
    assert "empty" in finding.message


@pytest.mark.parametrize(
    ("name", "change", "severity", "message"),
    [
        (CT, lambda a: a + 1024, "warning", "HU"),
        (CT, lambda a: np.full_like(a, 7), "error", "every voxel"),
        (CT, lambda a: np.where(a > 100, np.nan, a), "error", "NaN"),
        (PET, lambda a: a * 5000, "warning", "SUV"),
        (PET, lambda a: a + 30, "warning", "median"),
        (PET, lambda a: a / 100, "warning", "SUV"),
        (PET, lambda a: a - 2, "warning", "negative"),
        ("phantom-002/MR.nii.gz", lambda a: a - 100, "note", "negative"),
    ],
)
def test_implausible_values(
    folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray], severity: str, message: str
) -> None:
    change_image(folder / name, lambda image: change(image).astype(np.float32))
    finding = only(verify(load(folder)))
    assert finding.severity == severity
    assert message in finding.message
    assert finding.path == str(folder / name)


def test_one_image_in_two_places(folder: Path) -> None:
    for name in ("PT.nii.gz", "PT_reference.nii.gz"):
        (folder / "phantom-001" / name).write_bytes((folder / "phantom-002" / name).read_bytes())
    findings = verify(load(folder))
    finding = only([finding for finding in findings if finding.severity == "error"])
    assert finding.case == "phantom-002.a"
    assert "phantom-001.a PT" in finding.message
    # another subject's organs lie elsewhere
    others = [finding for finding in findings if finding.severity != "error"]
    assert {(other.case, other.topic) for other in others} == {("phantom-001.a", "registration")}


def test_a_pair_in_different_frames(folder: Path) -> None:
    for name in (PET, "phantom-001/PT_reference.nii.gz"):
        stored = (
            read_labels(folder / name)[0] if "reference" in name else read_image(folder / name)[0]
        )
        affine = affine_of(read_grid(folder / name))
        affine[2, 3] += 5000
        write_volume(folder / name, stored, make_grid(stored.shape, affine))
    finding = only(verify(load(folder)))
    assert (finding.severity, finding.modality) == ("error", "PT")
    assert "CT" in finding.message


def test_a_reference_a_fraction_of_a_voxel_beside_its_image_is_told(folder: Path) -> None:
    labels, grid = read_labels(folder / PET_REFERENCE)
    affine = affine_of(grid)
    affine[0, 3] += 0.1
    write_volume(folder / PET_REFERENCE, labels, make_grid(labels.shape, affine))
    finding = only(verify(load(folder)))
    assert (finding.severity, finding.modality, finding.topic) == ("warning", "PT", "header")
    assert "up to 0.1 mm apart" in finding.message
    assert "image and PT_reference.nii.gz" in finding.message


def test_a_single_image_is_noted(folder: Path) -> None:
    case_list = folder / "made.tsv"
    lines = case_list.read_text().splitlines()
    case_list.write_text(
        "\n".join([line for line in lines if not line.startswith("phantom-001\ta\tPT")])
    )
    assert "no pair to compare" in only(verify(load(folder))).message


def run(*arguments: object):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


def test_output_and_exit_code_of_the_command(folder: Path) -> None:
    clean = run("verify", folder / "made.toml")
    assert clean.exit_code == 0
    assert len(run("verify", "--depth", "quick", folder / "made.toml").stdout.splitlines()) == 1
    assert "phantom-001.a  CT-PT" in clean.stdout  # what the images of a case have in common
    change_image(folder / CT, lambda image: (image + 1).astype(np.float32))
    spoilt = run("verify", folder / "made.toml")
    assert spoilt.exit_code == 5
    lines = spoilt.stdout.splitlines()
    assert [lines[0].split(":")[0], lines[-1].split(":")[0]] == ["error", "made"]
    as_json = [
        json.loads(line)
        for line in run("verify", "--json", folder / "made.toml").stdout.splitlines()
    ]
    assert [(finding["severity"], finding["path"]) for finding in as_json] == [
        ("error", str(folder / CT))
    ]


def test_real_data_sts(shared_data: Path) -> None:
    """The files are valid; PET and CT of STS_035 differ in extent, which is reported."""
    findings = verify(load_dataset("ibsi-sts"))
    assert not [finding for finding in findings if finding.severity == "error"]
    by_case = {finding.case: finding for finding in findings}
    assert "61" in by_case["STS_035.a"].message and "63" in by_case["STS_035.a"].message
    assert by_case["STS_035.a"].modality == "PT"
    assert by_case.keys() == {"STS_019.a", "STS_035.a"}


def test_real_data_totalsegmentator(shared_data: Path) -> None:
    findings = verify(load_dataset("totalsegmentator-sample"))
    (names,) = (finding for finding in findings if finding.severity != "note")
    assert (names.severity, names.topic, names.case) == ("warning", "names", "")
    assert "gallbladder (similar: bladder)" in names.message
    assert not [finding for finding in findings if "no target uses" in finding.message]
