"""Common grids: images and references resampled before prompts and scoring."""

from __future__ import annotations

import numpy as np
import pytest

import evaluator
from evaluator.analysis.run_header import describe_images
from evaluator.datasets import load_dataset
from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import ManifestError, VolumeError
from evaluator.imaging.geometry import affine_of, difference, make_grid, spacing, to_world
from evaluator.imaging.image_resampling import blur_image, resample_image, respaced_grid
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import read_scores
from evaluator.scoring.rescore import score_run
from evaluator.volumes import read_grid, read_image, write_volume
from tests.conftest import order
from tests.tiny import GRIDS, PAINTER, make_dataset

FINE = make_grid((40, 36, 30), [[-1, 0, 0, 18], [0, 1, 0, -17], [0, 0, 1.2, -15], [0, 0, 0, 1]])


def ramp(grid):
    """A linear function of the world position."""
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    return (places @ [1.0, 2.0, -0.5] + 100).reshape(grid.shape).astype(np.float32)


def inside(source, grid, margin):
    """Voxels of ``grid`` whose centres lie well within ``source``."""
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    index = (places - affine_of(source)[:3, 3]) @ np.linalg.inv(affine_of(source)[:3, :3]).T
    near = (index >= margin) & (index <= np.array(source.shape) - 1 - margin)
    return near.all(axis=1).reshape(grid.shape)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_linear_image_stays_linear_on_oblique_coarser_and_finer_grids(grid):
    for source, target in ((FINE, grid), (grid, FINE)):
        values = resample_image(ramp(source), source, target)
        well = inside(source, target, 2.5 if source is FINE else 0.1)
        assert well.sum() > 50
        assert np.allclose(values[well], ramp(target)[well], atol=1e-3)


def test_a_larger_voxel_holds_the_mean():
    noise = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    source = make_grid(noise.shape, np.eye(4))
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = 1.5
    values = resample_image(noise, source, make_grid((6, 6, 6), affine))
    means = noise.reshape(6, 4, 6, 4, 6, 4).mean(axis=(1, 3, 5))
    assert np.allclose(values, means, atol=1e-6)


def test_beyond_the_image_its_smallest_value_stands():
    far = make_grid((3, 3, 3), [[1, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert (resample_image(ramp(FINE), FINE, far) == ramp(FINE).min()).all()


def test_the_blur_has_its_width():
    point = np.zeros(FINE.shape, np.float32)
    point[20, 18, 15] = 1
    blurred = blur_image(point, FINE, 6.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    assert blurred[23, 18, 15] / blurred[20, 18, 15] == pytest.approx(0.5, abs=0.03)  # 3 mm away


def test_a_respaced_grid_has_the_same_centre_and_covers_the_image():
    for grid in GRIDS.values():
        new = respaced_grid(grid, 1.7)
        assert np.allclose(spacing(affine_of(new)), 1.7)
        middles = [to_world(affine_of(g), (np.array(g.shape) - 1) / 2) for g in (grid, new)]
        assert np.allclose(*middles)
        extents = [np.array(g.shape) * spacing(affine_of(g)) for g in (grid, new)]
        assert (extents[1] >= extents[0] - 1e-2).all()


def protocol_file(folder, images, extra=""):
    text = f"""
id = "mine"
title = "Mine"
description = "Mine."
metrics = ["dice", "nsd"]
failures_count_as = "worst"
distance_cap_mm = 500.0
{extra}
[prompts]
kinds = ["box"]
[images]
{images}
"""
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_all_images_of_a_case_get_the_anchors_grid(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "MR", "PT"))
    case = load_dataset(data).cases[0]
    planned = planned_case(case, load_protocol("box-common-grid"))
    assert planned.scans["CT"] == case.scans["CT"]
    for name in ("MR", "PT"):
        scan = planned.scans[name]
        assert difference(read_grid(scan.image), GRIDS["CT"]) is None
        before = load_references(case.scans[name]).masks["liver"]
        after = load_references(scan).masks["liver"]
        assert np.array_equal(after.to_array(), resample_mask(before, after.grid).to_array())
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nii.gz")}
    assert len(written) == 4
    planned_case(case, load_protocol("box-common-grid"))
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert planned_case(case, load_protocol("box")) is case


def test_a_grid_of_so_many_millimetres_is_for_every_image(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    case = load_dataset(make_dataset(tmp_path / "data", ["a"])).cases[0]
    path = protocol_file(tmp_path, 'grid = "common"\nspacing_mm = 2.5')
    planned = planned_case(case, load_protocol(path))
    grids = [read_grid(scan.image) for scan in planned.scans.values()]
    assert difference(*grids) is None
    assert np.allclose(spacing(affine_of(grids[0])), 2.5)


def test_ct_is_blurred_at_pets_grid_and_pet_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    case = load_dataset(make_dataset(tmp_path / "data", ["a"])).cases[0]
    protocol = load_protocol("robust-resolution")
    own, coarse, blurred = (planned_case(case, protocol, seed) for seed in (0, 1, 2))
    assert own is case
    assert coarse.scans["PT"] == blurred.scans["PT"] == case.scans["PT"]
    images = [read_image(planned.scans["CT"].image) for planned in (coarse, blurred)]
    assert images[0][1] == images[1][1]
    assert images[1][0].std() < images[0][0].std()


def test_a_case_without_the_image_is_no_such_case(tmp_path):
    case = load_dataset(make_dataset(tmp_path / "data", ["a"], ("CT", "MR"))).cases[0]
    with pytest.raises(VolumeError, match="has no PT image, whose grid all images are to have"):
        planned_case(case, load_protocol("robust-resolution"), 1)


@pytest.mark.parametrize("images", ["spacing_mm = 2.0", 'grid = "own"\ngrid_of = "PT"', "x = 1"])
def test_options_of_a_common_grid_need_one(tmp_path, images):
    with pytest.raises(ManifestError):
        load_protocol(protocol_file(tmp_path, images))


def test_a_run_on_a_common_grid(project, tmp_path):
    """Both images get the same box of voxels, and scores and floors are of the common grid."""
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    run = order("painter", data, "box-common-grid", engine="local")
    for case in ("a.a", "b.a"):
        boxes = [run.prompts(case).scan(name).prompts[0]["liver"].box for name in ("CT", "PT")]
        assert boxes[0] == boxes[1]
        assert difference(run.record(case, "PT").grid, GRIDS["CT"]) is None
    scores = evaluator.load(run.path).scores
    assert (scores["status"] == "ok").all()
    overlap = scores[scores["metric"] == "dice"]
    assert (overlap["value"] <= overlap["floor"]).all()
    assert run.limits("a.a", "CT").resampling == {}
    assert 0.5 < run.limits("a.a", "PT").resampling["liver"] < 1
    assert describe_images(run).startswith("Common grid (that of anchor)")
    assert "CT" not in describe_images(run).split("back:")[1]
    score_run(run)
    assert read_scores(run)["value"].equals(scores["value"])


def test_a_run_with_three_resolutions(project, tmp_path):
    """Seeds have their own grids: their masks, scores and volumes are of those."""
    project({"painter": PAINTER}, prompts="box")
    data = make_dataset(tmp_path / "data", ["a", "b"])
    run = order("painter", data, "robust-resolution", engine="local")
    record = run.record("a.a", "CT")
    assert difference(record.grid, GRIDS["CT"]) is None
    by_seed = {entry.seed: entry for entry in record.rounds}
    assert by_seed[0].grid is None
    assert difference(by_seed[1].grid, GRIDS["PT"]) is None
    assert by_seed[1].grid == by_seed[2].grid
    assert all(entry.grid is None for entry in run.record("a.a", "PT").rounds)
    scores = read_scores(run)
    assert (scores["status"] == "ok").all()
    score_run(run)
    assert read_scores(run)["value"].equals(scores["value"])
    dice = scores[(scores["metric"] == "dice") & (scores["modality"] == "CT")]
    by_seed = dice.groupby("seed")["value"].mean()
    assert by_seed[1] == by_seed[2] != by_seed[0]


def test_a_case_without_pet_is_not_run_at_pets_grid(project, tmp_path):
    project({"painter": PAINTER}, prompts="box")
    data = make_dataset(tmp_path / "data", ["a"], ("CT", "MR"))
    run = order("painter", data, "robust-resolution", engine="local")
    assert {record.state for record in run.records()} == {"not-run"}
    assert "has no PT image" in run.record("a.a", "CT").reason


def test_a_label_map_keeps_its_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    data = make_dataset(tmp_path / "data", ["a"], targets=("liver", "spleen"))
    case = load_dataset(data).cases[0]
    planned = planned_case(case, load_protocol("box-common-grid"))
    masks = load_references(planned.scans["PT"]).masks
    own = load_references(case.scans["PT"]).masks
    for name in ("liver", "spleen"):
        assert masks[name].voxel_count > 0
        expected = resample_mask(own[name], masks[name].grid)
        shared = np.count_nonzero(expected.to_array() & masks[name].to_array())
        assert shared > 0.9 * expected.voxel_count


def test_a_file_that_cannot_be_read_is_an_error_of_the_volume(tmp_path, monkeypatch):
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "cache"))
    data = make_dataset(tmp_path / "data", ["a"])
    case = load_dataset(data).cases[0]
    case.scans["PT"].image.unlink()
    with pytest.raises(VolumeError):
        planned_case(case, load_protocol("box-common-grid"))
    write_volume(
        case.scans["PT"].image, np.zeros((2, 2, 2), np.int16), make_grid((2, 2, 2), np.eye(4))
    )
