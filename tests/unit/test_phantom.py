"""The phantom: reproducible, with correct positions of organs, and values in the right units."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from evaluator.datasets import load_dataset
from evaluator.datasets.phantom import ORGANS, generate
from evaluator.datasets.phantom.grids import grids_of
from evaluator.imaging.geometry import affine_of, orientation, spacing, to_world
from evaluator.manifests.datasets import DatasetManifest, PhantomPlan, read_dataset_manifest
from evaluator.types import Case, Dataset, Scan
from evaluator.volumes import file_sha256, read_grid, read_image, read_labels

TOY = (48, 36, 72)
SMALL = (96, 72, 160)


def manifest_of(
    cases: int, size: tuple[int, int, int], seed: int = 5, **more: str
) -> DatasetManifest:
    facts = {
        "title": "Made",
        "license": "CC0-1.0",
        "citation": "none",
        "reference_origin": "generated",
        **more,
    }
    plan = PhantomPlan(cases=cases, size=size, seed=seed)
    return DatasetManifest(
        path=Path("x"), sha256="", name="made", synthetic=True, phantom=plan, **facts
    )


def make_dataset(folder: Path, cases: int, size: tuple[int, int, int], seed: int = 5) -> Dataset:
    generate(manifest_of(cases, size, seed), folder)
    return load_dataset(folder / "made.toml")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four subjects, one of each orientation, two with CT and two with MR."""
    return make_dataset(tmp_path_factory.mktemp("small") / "data", 4, SMALL)


def centroids(scan: Scan) -> dict[str, np.ndarray]:
    labels, grid = read_labels(scan.references[0].path)
    places = {}
    for name, values in scan.references[0].labels.items():
        voxels = np.argwhere(np.isin(labels, values))
        assert len(voxels), f"{name} is empty"
        places[name] = to_world(affine_of(grid), voxels).mean(axis=0)
    return places


def values_in(scan: Scan, organ: str) -> np.ndarray:
    """The image's values in an organ."""
    image, _ = read_image(scan.image)
    labels, _ = read_labels(scan.references[0].path)
    return image[np.isin(labels, scan.references[0].labels[organ])]


def test_equal_seeds_generate_equal_files(tmp_path: Path) -> None:
    make_dataset(tmp_path / "one", 3, TOY)
    make_dataset(tmp_path / "two", 3, TOY)
    first = hashes(tmp_path / "one")
    assert len(first) == 2 + 3 * 4
    assert first == hashes(tmp_path / "two")


def test_a_subject_depends_only_on_seed_and_number(tmp_path: Path) -> None:
    make_dataset(tmp_path / "one", 1, TOY)
    make_dataset(tmp_path / "three", 3, TOY)
    make_dataset(tmp_path / "other", 1, TOY, seed=6)
    single, several, different_seed = (
        hashes(tmp_path / name) for name in ("one", "three", "other")
    )
    images = [name for name in single if name.startswith("phantom-001/")]
    assert len(images) == 4
    assert all(several[name] == single[name] for name in images)
    assert all(different_seed[name] != single[name] for name in images)


def test_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    """A second process uses a single thread."""
    program = (
        "import sys; from pathlib import Path;"
        "from tests.unit.test_phantom import TOY, make_dataset;"
        "make_dataset(Path(sys.argv[1]), 2, TOY)"
    )
    root = Path(__file__).parents[2]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "alone")],
        check=True,
        cwd=root,
        env=os.environ | dict.fromkeys(names, "1") | {"PYTHONPATH": str(root)},
    )
    make_dataset(tmp_path / "here", 2, TOY)
    assert hashes(tmp_path / "alone") == hashes(tmp_path / "here")


def test_simultaneous_calls_generate_one_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: generate(manifest_of(1, TOY), folder), range(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["data"], (
        "an incomplete dataset was left behind"
    )
    before = (folder / "made.toml").stat().st_mtime_ns
    generate(manifest_of(1, TOY), folder)
    assert (folder / "made.toml").stat().st_mtime_ns == before


def test_a_failure_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("evaluator.datasets.phantom.write_volume", full)
    with pytest.raises(OSError, match="disk full"):
        generate(manifest_of(1, TOY), tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_quotes_in_titles_are_kept(tmp_path: Path) -> None:
    title = 'A "phantom" \\ so called'
    generate(manifest_of(1, TOY, title=title), tmp_path / "data")
    assert read_dataset_manifest(tmp_path / "data" / "made.toml").title == title


def test_subjects_alternate_and_every_scan_has_all_organs(small: Dataset) -> None:
    assert [case.subject for case in small.cases] == [f"phantom-{n:03d}" for n in range(1, 5)]
    assert [set(case.scans) for case in small.cases] == [{"CT", "PT"}, {"MR", "PT"}] * 2
    for case in small.cases:
        assert case.session == "a"
        for scan in case.scans.values():
            labels, grid = read_labels(scan.references[0].path)
            assert labels.dtype == np.uint8
            assert set(np.unique(labels)) == set(range(14))
            assert scan.targets == ORGANS
            assert read_grid(scan.image) == grid


def test_positions_of_organs(small: Dataset) -> None:
    """+x is the patient's right, +y the front, +z the head, whatever the file's axes are."""
    for case in small.cases:
        for scan in case.scans.values():
            at = centroids(scan)
            for right in ("liver", "kidney-right"):
                assert at[right][0] > 30, f"{case.id} {scan.modality}: {right} at {at[right]}"
            for left in ("kidney-left", "spleen", "stomach", "heart"):
                assert at[left][0] < -10, f"{case.id} {scan.modality}: {left} at {at[left]}"
            heights = [at[name][2] for name in ("bladder", "kidney-left", "heart", "brain")]
            assert heights == sorted(heights)
            assert at["aorta"][1] < at["stomach"][1]
            assert at["kidney-left"][1] < at["bladder"][1]


def test_an_organ_has_one_position_in_both_images(small: Dataset) -> None:
    for case in small.cases:
        step = min(spacing(affine_of(read_grid(case.scans["PT"].image))))
        first, second = (centroids(scan) for scan in case.scans.values())
        for name in ORGANS:
            assert np.linalg.norm(first[name] - second[name]) < step, f"{name} of {case.id}"


def test_subjects_differ(small: Dataset) -> None:
    places = [centroids(case.scans["PT"]) for case in small.cases]
    for name in ORGANS:
        assert len({tuple(place[name].round(3)) for place in places}) == len(places), (
            f"{name} has equal positions in two subjects"
        )


def test_orientations_and_oblique_grids(small: Dataset) -> None:
    affines = []
    for case in small.cases:
        affines += [affine_of(read_grid(scan.image)) for scan in case.scans.values()]
    assert {orientation(affine) for affine in affines} >= {"RAS", "LPS", "PIR"}
    oblique = [np.count_nonzero(np.abs(affine[:3, :3]) > 1e-3) > 3 for affine in affines]
    assert any(oblique)
    assert not all(oblique)
    for case in small.cases:
        fine, coarse = (np.prod(read_grid(scan.image).shape) for scan in case.scans.values())
        assert coarse < fine / 3


@pytest.mark.parametrize("size", [(48, 36, 72), (400, 400, 350)])
def test_the_field_of_view_does_not_depend_on_size(size: tuple[int, int, int]) -> None:
    for grid in grids_of(size, "CT", 0).values():
        assert np.allclose(np.array(grid.shape) * spacing(affine_of(grid)), (480, 360, 1000))


def test_values_are_those_of_the_unit(small: Dataset) -> None:
    for case in small.cases:
        pet = {name: float(values_in(case.scans["PT"], name).mean()) for name in ORGANS}
        assert pet["bladder"] > pet["brain"] > pet["liver"] > pet["lung"]
        assert 4 < pet["brain"] < 14 and 1 < pet["liver"] < 4 and pet["lung"] < 1.2
        assert read_image(case.scans["PT"].image)[0].min() >= 0
        if "CT" in case.scans:
            hu = {name: float(values_in(case.scans["CT"], name).mean()) for name in ORGANS}
            assert -870 < hu["lung"] < -750
            assert 20 < hu["brain"] < 50 and 40 < hu["liver"] < 130
            assert read_image(case.scans["CT"].image)[0].min() < -950
        else:
            assert read_image(case.scans["MR"].image)[0].min() >= 0


def test_uptake_of_the_heart_varies_most(tmp_path: Path) -> None:
    cases = make_dataset(tmp_path / "data", 12, (24, 18, 40)).cases
    spread = {name: _spread(cases, name) for name in ("heart", "liver")}
    assert spread["heart"] > 2 * spread["liver"]
    assert 3 < max(float(values_in(case.scans["PT"], "heart").mean()) for case in cases) < 12


def _spread(cases: tuple[Case, ...], organ: str) -> float:
    values = [float(values_in(case.scans["PT"], organ).mean()) for case in cases]
    return float(np.std(np.log(values)))
