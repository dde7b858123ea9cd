"""Faults planted in phantom data, each found by a full check; clean phantoms are not accused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets.phantom import generate
from evaluator.datasets.verify import check_cases
from evaluator.findings import Finding
from evaluator.imaging.geometry import affine_of, make_grid
from evaluator.volumes import read_image, read_labels, write_volume
from tests.unit.test_phantom import manifest_of

SIZE = (54, 40, 81)
CT, CT_REFERENCE = "phantom-001/CT.nii.gz", "phantom-001/CT_reference.nii.gz"
PET, PET_REFERENCE = "phantom-001/PT.nii.gz", "phantom-001/PT_reference.nii.gz"
OTHER_PET = "phantom-003/PT.nii.gz"
OTHER_PET_REFERENCE = "phantom-003/PT_reference.nii.gz"
SCAN = {"CT": (CT, CT_REFERENCE), "PT": (PET, PET_REFERENCE)}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects; the case list has no hashes, so files are judged by their content."""
    folder = tmp_path_factory.mktemp("faults") / "data"
    generate(manifest_of(3, SIZE, seed=1), folder)
    case_list = folder / "made.tsv"
    lines = [line.split("\t")[:7] for line in case_list.read_text().splitlines()]
    case_list.write_text("\n".join("\t".join(fields) for fields in lines))
    return folder


def findings_in(folder: Path, subjects: tuple[str, ...]) -> list[Finding]:
    cases = [case for case in load_dataset(folder / "made.toml").cases if case.subject in subjects]
    return list(check_cases(cases, "full").findings)


def values(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the values of an image."""

    def plant(folder: Path) -> None:
        image, grid = read_image(folder / name)
        write_volume(folder / name, change(image).astype(np.float32), grid)

    return plant


def labels(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the labels of a reference."""

    def plant(folder: Path) -> None:
        array, grid = read_labels(folder / name)
        write_volume(folder / name, change(array.copy()).astype(np.uint8), grid)

    return plant


def place(modality: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the affine of an image and its reference."""

    def plant(folder: Path) -> None:
        for name, read in zip(SCAN[modality], (read_image, read_labels), strict=True):
            array, grid = read(folder / name)
            affine = change(affine_of(grid).copy())
            write_volume(folder / name, array, make_grid(array.shape, affine))

    return plant


def header(name: str, change: Callable[[nibabel.Nifti1Image], None]) -> Callable[[Path], None]:
    """Change fields of a NIfTI header."""

    def plant(folder: Path) -> None:
        image = nibabel.load(folder / name)
        image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        change(image)
        nibabel.save(image, folder / name)

    return plant


def cut(modality: str, part: slice) -> Callable[[Path], None]:
    """Keep a part of the slices of an image and its reference."""

    def plant(folder: Path) -> None:
        for name, read in zip(SCAN[modality], (read_image, read_labels), strict=True):
            array, grid = read(folder / name)
            first, last, _ = part.indices(grid.shape[2])
            affine = affine_of(grid).copy()
            affine[:3, 3] += affine[:3, 2] * first
            part_of_slices = np.ascontiguousarray(array[:, :, first:last])
            write_volume(folder / name, part_of_slices, make_grid(part_of_slices.shape, affine))

    return plant


def mirror(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    """The affine of the same array, mirrored in the world about 0 along one axis."""

    def change(affine: np.ndarray) -> np.ndarray:
        affine[axis] *= -1
        return affine

    return change


def scale(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(affine: np.ndarray) -> np.ndarray:
        affine[:3] *= factor
        return affine

    return change


def shift(axis: int, distance: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(affine: np.ndarray) -> np.ndarray:
        affine[axis, 3] += distance
        return affine

    return change


def shear(affine: np.ndarray) -> np.ndarray:
    affine[1, 2] += 0.2 * affine[2, 2]
    return affine


def exchange(first: int, second: int) -> Callable[[np.ndarray], np.ndarray]:
    table = np.arange(256)
    table[[first, second]] = second, first
    return lambda array: table[array]


def copy(source: str, target: str, *, turned: bool) -> Callable[[Path], None]:
    """Put the voxels of one file into another, with other axes or another compression."""

    def plant(folder: Path) -> None:
        image = nibabel.load(folder / source)
        array = np.asarray(image.dataobj)
        if turned:
            step = np.diag([-1.0, 1, 1, 1])
            step[0, 3] = array.shape[0] - 1
            array, affine = array[::-1], image.affine @ step
        else:
            affine = image.affine
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / target)

    return plant


def copy_scan(folder: Path) -> None:
    """The PET of subject 3 once more, as the PET of subject 1, stored with other axes."""
    copy(OTHER_PET, PET, turned=True)(folder)
    copy(OTHER_PET_REFERENCE, PET_REFERENCE, turned=True)(folder)


def scale_labels(folder: Path) -> None:
    array, grid = read_labels(folder / CT_REFERENCE)
    image = nibabel.Nifti1Image((array * 2).astype(np.int16), np.array(grid.affine))
    image.header.set_slope_inter(0.5, 0)
    nibabel.save(image, folder / CT_REFERENCE)


def store_8_bits(folder: Path) -> None:
    image, grid = read_image(folder / CT)
    stored = nibabel.Nifti1Image(
        np.clip((image + 1000) / 16, 0, 255).astype(np.uint8), np.array(grid.affine)
    )
    stored.header.set_slope_inter(16, -1000)
    nibabel.save(stored, folder / CT)


def set_pixdim(image: nibabel.Nifti1Image) -> None:
    image.header["pixdim"][3] *= 2


def no_place(image: nibabel.Nifti1Image) -> None:
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)


def other_qform(image: nibabel.Nifti1Image) -> None:
    affine = image.affine.copy()
    affine[0, 3] += 40
    image.set_qform(affine, code=1)
    image.set_sform(image.affine, code=1)


#: fault -> how it is planted, severity and topic of the finding, words of it
FAULTS: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "CT stored with an offset of 1024": (values(CT, lambda a: a + 1024), "warning", "values", "HU"),
    "CT rescaled twice": (values(CT, lambda a: a - 1024), "warning", "values", "medians of organs"),
    "PET in Bq/ml": (values(PET, lambda a: a * 5000), "warning", "values", "Bq/ml"),
    "PET in kBq/ml": (values(PET, lambda a: a * 6), "warning", "values", "mean of the body"),
    "PET in per cent of the maximum": (
        values(PET, lambda a: a / a.max() * 100), "warning", "values", "mean of the body"),
    "PET holds HU": (values(PET, lambda a: a * 100 - 1000), "warning", "values", "negative"),
    "PET clipped": (values(PET, lambda a: np.minimum(a, 4)), "warning", "values", "clipped"),
    "PET quantised": (values(PET, lambda a: np.round(a * 5) / 5), "warning", "values", "quantised"),
    "CT in 8 bits": (store_8_bits, "warning", "header", "8 bits"),
    "NaN in an organ": (
        values(CT, lambda a: np.where(a > 200, np.nan, a)), "error", "values", "NaN"),
    "left and right mirrored in the header": (
        place("CT", mirror(0)), "error", "anatomy", "left and right"),
    "head and feet mirrored in the header": (
        place("CT", mirror(2)), "error", "anatomy", "top and bottom"),
    "front and back mirrored in the header": (
        place("CT", mirror(1)), "error", "anatomy", "front and back"),
    "labels of the kidneys exchanged": (
        labels(CT_REFERENCE, exchange(2, 3)), "error", "anatomy", "kidney-right lies"),
    "labels of liver and spleen exchanged": (
        labels(CT_REFERENCE, exchange(1, 6)), "warning", "anatomy", "spleen has"),
    "reference flipped against its image": (
        labels(CT_REFERENCE, lambda a: a[::-1]), "error", "anatomy", "flipped along the first"),
    "reference turned upside down against its image": (
        labels(PET_REFERENCE, lambda a: a[:, :, ::-1]), "error", "anatomy", "along the third"),
    "voxels twice as large in the header": (
        place("CT", scale(2)), "warning", "anatomy", "liver has"),
    "organ cut by the end of the image": (cut("PT", slice(0, 44)), "note", "anatomy", "brain (S)"),
    "reference empty": (labels(CT_REFERENCE, np.zeros_like), "warning", "labels", "is empty"),
    "organ missing": (
        labels(CT_REFERENCE, lambda a: np.where(a == 6, 0, a)), "note", "labels",
        "spleen is empty"),
    "image twice, in files that differ": (copy_scan, "error", "duplicates", "same values"),
    "reference of another subject": (
        copy(OTHER_PET_REFERENCE, PET_REFERENCE, turned=False), "error", "duplicates",
        "same voxels"),
    "sform and qform differ": (header(CT, other_qform), "warning", "header", "contradict"),
    "pixdim and sform differ": (header(CT, set_pixdim), "warning", "header", "pixdim"),
    "no orientation": (header(PET, no_place), "error", "files", "match"),
    "axes that are not orthogonal": (place("CT", shear), "warning", "header", "shear"),
    "labels with a scaling": (scale_labels, "warning", "header", "labels with a scaling"),
    "PET moved by 60 mm": (
        place("PT", shift(0, 60)), "warning", "registration", "centre of the body"),
    "PET shows a third of the body": (cut("PT", slice(0, 20)), "note", "anatomy", "may be cut"),
}  # fmt: skip


def test_clean_phantoms_are_not_accused(clean: Path) -> None:
    assert findings_in(clean, ("phantom-001", "phantom-002", "phantom-003")) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(clean: Path, tmp_path: Path, fault: str) -> None:
    plant, severity, topic, words = FAULTS[fault]
    folder = tmp_path / "data"
    shutil.copytree(clean, folder)
    plant(folder)
    subjects = ("phantom-001", "phantom-003") if topic == "duplicates" else ("phantom-001",)
    findings = findings_in(folder, subjects)
    assert [
        finding
        for finding in findings
        if (finding.severity, finding.topic) == (severity, topic) and words in finding.message
    ], "\n".join(f"{f.severity} {f.topic} {f.subject_line}" for f in findings)


def test_the_page_lists_every_fault() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-checks.md").read_text(encoding="utf-8")
    for fault, (_, severity, topic, words) in FAULTS.items():
        assert f"| {fault} | {severity}, {topic}: “{words}” |" in page
