"""Floors and ceilings: image-blind masks, typical shapes, resampled references, and their files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import evaluator
from evaluator.analysis.run_header import describe_floors
from evaluator.datasets import load_dataset
from evaluator.datasets.references import load_references
from evaluator.errors import HostError
from evaluator.imaging.geometry import affine_of, make_grid, spacing, to_index, to_world, voxel_ml
from evaluator.imaging.grid_masks import crop_mask, empty_mask
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.imaging.solids import ball_mask, box_mask, ellipsoid_in_box, solid_mask
from evaluator.limits import complete_limits
from evaluator.limits.blind_masks import blind_masks
from evaluator.limits.run_limits import has_one_frame
from evaluator.limits.typical_shapes import TypicalShapes, centre_of_mass, volume_ml
from evaluator.prompting.error_regions import dice
from evaluator.runs.json_types import dump
from evaluator.runs.records import CasePrompts
from evaluator.runs.store import RunStore
from evaluator.types import TargetPrompt
from tests.conftest import order
from tests.tiny import GRIDS, PAINTER, make_dataset
from zoo_sdk.wire import Box, Point

OBLIQUE = GRIDS["MR"]
FINE = make_grid((40, 36, 30), [[-1, 0, 0, 18], [0, 1, 0, -17], [0, 0, 1.2, -15], [0, 0, 0, 1]])


def blob(grid, seed=0):
    """A smooth random mask that does not touch the border."""
    noise = np.random.default_rng(seed).normal(size=grid.shape)
    smooth = ndimage.gaussian_filter(noise, [n / 8 for n in grid.shape])
    smooth[[0, -1]] = smooth[:, [0, -1]] = smooth[:, :, [0, -1]] = -1
    return crop_mask(smooth > np.quantile(smooth, 0.9), grid)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_mask_on_its_own_grid_stays_as_it_is(grid):
    mask = blob(grid)
    again = resample_mask(mask, make_grid(grid.shape, affine_of(grid)))
    assert np.array_equal(mask.to_array(), again.to_array())


@pytest.mark.parametrize("grid", [*GRIDS.values(), FINE])
@pytest.mark.parametrize("source", [*GRIDS.values(), FINE])
def test_a_voxel_belongs_to_a_mask_if_half_of_it_does(source, grid):
    """Compared with nearest-neighbour interpolation by scipy at many points of each voxel."""
    mask = blob(source, 3)
    got = resample_mask(mask, grid).to_array()
    around = np.pad(mask.to_array().astype(float), 1)
    steps = (np.arange(12) + 0.5) / 12 - 0.5
    share = np.zeros(grid.shape)
    centres = np.indices(grid.shape).reshape(3, -1).T
    for point in np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T[::7]:
        index = to_index(affine_of(source), to_world(affine_of(grid), centres + point)) + 1
        share += ndimage.map_coordinates(around, index.T, order=0).reshape(grid.shape)
    share /= len(range(0, 12**3, 7))
    # voxels whose share is close to one half depend on the points; of small voxels one is taken
    small = max(spacing(affine_of(grid))) <= min(spacing(affine_of(source))) / 2
    clear = abs(share - 0.5) > (0.49 if small else 0.2)
    assert np.array_equal(got[clear], share[clear] > 0.5)
    assert clear.mean() > 0.85


def test_what_lies_outside_of_the_other_grid_is_lost():
    far = make_grid((5, 6, 7), [[2, 0, 0, 500], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    assert resample_mask(blob(FINE), far).empty
    assert resample_mask(empty_mask(FINE), far).empty


@given(
    centre=st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(-5, 5)),
    ml=st.floats(0.3, 2.0),
)
def test_a_ball_has_its_volume_and_place(centre, ml):
    ball = ball_mask(FINE, centre, ml)
    assert volume_ml(ball) == pytest.approx(ml, rel=0.15)
    assert np.linalg.norm(centre_of_mass(ball) - centre) < 0.5


def test_a_ball_smaller_than_a_voxel_is_a_voxel():
    assert ball_mask(GRIDS["PT"], (0.3, 0.4, 0.2), 1e-6).voxel_count == 1


def test_solids_on_an_oblique_grid_hold_the_voxels_inside():
    centre, axes = (0.5, -0.5, 1.0), np.array([[6.0, 1, 0], [-1, 5, 0.5], [0, 0.3, 7]])
    places = to_world(affine_of(OBLIQUE), np.indices(OBLIQUE.shape).reshape(3, -1).T) - centre
    relative = np.abs(np.linalg.solve(axes.T, places.T).T)
    for ellipsoid, inside in (
        (False, relative.max(axis=1) <= 1),
        (True, (relative**2).sum(1) <= 1),
    ):
        mask = solid_mask(OBLIQUE, centre, axes, ellipsoid=ellipsoid)
        assert np.array_equal(mask.to_array().ravel(), inside.astype(np.uint8))
        assert mask.voxel_count > 20


def test_the_blind_masks_of_a_box_are_the_box_and_its_ellipsoid():
    box = Box(low=(2, 3, 1), high=(9, 8, 8))
    masks = blind_masks(TargetPrompt(target="liver", box=box), OBLIQUE, "MR", None)
    assert np.array_equal(masks["box"].to_array(), box_mask(box, OBLIQUE).to_array())
    assert masks["box"].voxel_count == 7 * 5 * 7
    ellipsoid = ellipsoid_in_box(box, OBLIQUE)
    assert np.array_equal(masks["ellipsoid"].to_array(), ellipsoid.to_array())
    assert ellipsoid.voxel_count / masks["box"].voxel_count == pytest.approx(np.pi / 6, abs=0.08)


def test_typical_shapes_leave_the_subject_out(tmp_path):
    """A changed reference of a subject does not change its own typical shape."""
    manifest = make_dataset(tmp_path / "data", ["a", "b", "c"])
    shapes = TypicalShapes(load_dataset(manifest).cases)
    before = {subject: shapes.of("liver", without=subject) for subject in "abc"}
    shutil.copy(
        tmp_path / "data/b_CT_image.nii.gz", tmp_path / "data/a_CT_reference.nii.gz"
    )  # other values: no liver, or another one
    shutil.copy(tmp_path / "data/b_PT_image.nii.gz", tmp_path / "data/a_PT_reference.nii.gz")
    changed = TypicalShapes(load_dataset(manifest).cases)
    after = {subject: changed.of("liver", without=subject) for subject in "abc"}
    assert np.array_equal(before["a"].mask.to_array(), after["a"].mask.to_array())
    assert before["a"].volume_ml == after["a"].volume_ml
    assert before["b"].volume_ml != after["b"].volume_ml
    assert before["a"].subjects == 2
    assert shapes.of("spleen", without="a") is None


def test_the_mean_of_balls_is_a_ball_where_it_is_put(tmp_path):
    manifest = make_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    shape = TypicalShapes(load_dataset(manifest).cases).of("liver", without="a")
    ball = ball_mask(FINE, (1.0, 2.0, 0.5), shape.volume_ml)
    placed = shape.at((1.0, 2.0, 0.5), FINE)
    assert volume_ml(placed) == pytest.approx(shape.volume_ml, rel=0.2)
    assert dice(placed, ball) > 0.8
    position = shape.typical_position("PT", GRIDS["PT"])
    assert np.linalg.norm(np.array(position) - (-4, 2.3, 2)) < 2


def test_a_prompt_without_a_shape_has_no_blind_mask():
    point = Point(index=(4, 4, 4), ras_mm=(0.0, 0.0, 0.0))
    prompt = TargetPrompt(target="liver", points=(point,))
    assert blind_masks(prompt, OBLIQUE, "MR", None) == {}


@pytest.fixture
def painted(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a", "b", "c"], ("CT", "MR", "PT"))
    return order("painter", data, "box", engine="local"), data


def test_a_run_has_floors_and_ceilings_beside_its_scores(painted):
    """The painter answers with the box, so its score is at most the floor."""
    run, _ = painted
    scores = evaluator.load(run.path).scores
    overlap = scores[scores["metric"] == "dice"]
    assert overlap["floor"].notna().all()
    assert (overlap["value"] <= overlap["floor"]).all()
    by_modality = overlap.groupby("modality", observed=True)["ceiling"].mean()
    finest = min(GRIDS, key=lambda name: voxel_ml(affine_of(GRIDS[name])))
    assert by_modality[finest] == 1
    assert (by_modality.drop(finest) < 1).all()
    limits = run.limits("a.a", "PT")
    assert {row.ceiling_rule for row in limits.rows} == {finest}
    assert {row.floor_rule for row in limits.rows} <= {"box", "ellipsoid"}
    assert scores.loc[scores["metric"] == "hd95", "floor"].notna().all()


def test_the_floor_is_the_score_of_the_better_mask(painted):
    run, data = painted
    case = load_dataset(data).cases[0]
    reference = load_references(case.scans["PT"]).masks["liver"]
    prompt = run.prompts(case.id).scan("PT").prompts[0]["liver"]
    candidates = (box_mask, ellipsoid_in_box)
    expected = max(dice(reference, mask(prompt.box, reference.grid)) for mask in candidates)
    (row,) = (row for row in run.limits(case.id, "PT").rows if row.metric == "dice")
    assert row.floor == pytest.approx(expected, abs=1e-12)
    blind = {
        "box": dice(reference, box_mask(prompt.box, reference.grid)),
        "ellipsoid": dice(reference, ellipsoid_in_box(prompt.box, reference.grid)),
    }
    assert row.blind == pytest.approx(blind, abs=1e-12)
    scores = evaluator.load(run.path).scores
    selected = scores[(scores["metric"] == "dice") & (scores["modality"] == "PT")]
    selected = selected[selected["case"] == case.id].iloc[0]
    assert selected["blind_shape"] == pytest.approx(blind["box"], abs=1e-12)
    assert selected["blind_round"] == pytest.approx(blind["ellipsoid"], abs=1e-12)


def test_an_older_run_gets_its_limits_when_it_is_loaded(painted, messages):
    run, data = painted
    before = evaluator.load(run.path).scores
    assert describe_floors(run) == ""
    shutil.rmtree(run.path / "limits" / "b.a")
    assert describe_floors(run).startswith("Floors and ceilings are of 2 of 3 subjects; umd score")
    (run.path / "records" / "c.a" / "PT.json").rename(data.with_name("PT.json"))
    assert "are of 2 of 3 subjects so far; the others follow" in describe_floors(run)
    data.with_name("PT.json").rename(run.path / "records" / "c.a" / "PT.json")
    shutil.rmtree(run.path / "limits")
    assert evaluator.load(run.path).scores["floor"].equals(before["floor"])
    shutil.rmtree(run.path / "limits")
    data.rename(data.with_name("moved.toml"))
    assert complete_limits(run).startswith("no floors and ceilings: ")
    scores = evaluator.load(run.path).scores
    assert scores["floor"].isna().all()
    assert scores["value"].equals(before["value"])
    assert any("no floors and ceilings" in message for message in messages)


def test_prompts_of_one_image_are_of_one_frame(painted):
    run, _ = painted
    prompts = run.prompts("a.a")
    assert has_one_frame(prompts)
    body = json.loads(json.dumps(dump(prompts)["prompts"]))
    body["PT"]["0"]["liver"]["anchor"] = "PT"
    assert not has_one_frame(CasePrompts.of("a.a", prompts.source, body))


def test_a_full_disk_ends_the_limits_at_the_first_case(painted, monkeypatch):
    run, _ = painted
    attempts = []

    def refuse(_, limits):
        attempts.append(limits.case)
        raise HostError("could not write: disk full")

    shutil.rmtree(run.path / "limits")
    monkeypatch.setattr(RunStore, "write_limits", refuse)
    assert complete_limits(run) == "floors and ceilings were not stored: could not write: disk full"
    assert len(attempts) == 1


def test_changed_references_give_no_limits(painted, monkeypatch, tmp_path):
    run, data = painted
    monkeypatch.setenv("UMD_CACHE", str(tmp_path / "empty"))
    shutil.rmtree(run.path / "limits")
    shutil.copy(data.parent / "b_CT_reference.nii.gz", data.parent / "a_CT_reference.nii.gz")
    assert "has changed since the run was made" in complete_limits(run)
    assert run.limits("a.a", "CT") is None
    assert run.limits("b.a", "CT") is not None


@pytest.mark.parametrize("protocol", ["point-1", "text"])
def test_other_prompts_have_floors_too(project, tmp_path, protocol):
    project({"painter": PAINTER}, prompts="point,text")
    data = make_dataset(tmp_path / "data", ["a", "b", "c"])
    run = order("painter", data, protocol, engine="local")
    scores = evaluator.load(run.path).scores
    overlap = scores[scores["metric"] == "dice"]
    assert (overlap["floor"] > 0.4).all()
    rules = {row.floor_rule for row in run.limits("a.a", "CT").rows}
    assert rules <= ({"ball", "mean shape"} if protocol == "point-1" else {"mean shape"})


def test_one_subject_has_no_typical_shape_and_no_floor(project, tmp_path):
    project({"painter": PAINTER})
    data = make_dataset(tmp_path / "data", ["a"])
    run = order("painter", data, "point-1", engine="local")
    rows = run.limits("a.a", "CT").rows
    assert {row.floor_rule for row in rows} == {"no other subject of the dataset has the target"}
    assert all(row.floor is None for row in rows)
    assert evaluator.load(run.path).scores["floor"].isna().all()
