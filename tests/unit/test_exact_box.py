"""Boxes in millimetres: the same box on every grid, for models whose card asks for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluator.files import read_json
from evaluator.imaging.geometry import affine_of, to_index, to_world
from evaluator.imaging.grid_masks import crop_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.prompting.boxes import choose_box, put_box
from evaluator.prompting.initial_prompts import simulate_prompts
from evaluator.prompting.random_stream import RandomStream
from evaluator.runs.records import plain_prompt
from evaluator.types import TargetPrompt
from tests.conftest import order
from tests.tiny import GRIDS, make_dataset
from zoo_sdk.wire import (
    Box,
    BoxMm,
    Grid,
    ImageFile,
    Request,
    Target,
    WireError,
    dump_request,
    parse_request,
)

#: answers with nothing, and writes what it was given into the notes
ECHO = """
import numpy as np
from zoo_sdk import Prediction

class Adapter:
    def setup(self):
        pass

    def predict(self, request):
        boxes = {t.name: None if t.box_mm is None else [t.box_mm.centre, t.box_mm.half_axes]
                 for t in request.targets}
        masks = {t.name: np.zeros(request.grid.shape, np.uint8) for t in request.targets}
        return Prediction(masks, notes={"box_mm": boxes})
"""
EXACT = BoxMm(centre=(1.0, 2.0, -3.5), half_axes=((4.0, 1, 0), (-1, 4.0, 0), (0, 0, 6.0)))


def mask_on(grid):
    places = to_world(affine_of(grid), np.indices(grid.shape).reshape(3, -1).T)
    inside = (((places - (-2.0, 1, 1)) / (7, 5, 8)) ** 2).sum(axis=1) <= 1
    return crop_mask(inside.reshape(grid.shape), grid)


@pytest.mark.parametrize("anchor", GRIDS)
def test_the_exact_box_is_inside_the_box_of_voxels_and_touches_it(anchor):
    plan = load_protocol("box").prompts
    world = choose_box(mask_on(GRIDS[anchor]), plan, RandomStream("box", 0))
    exact = world.exact()
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    corners = np.array(exact.centre) + signs @ np.array(exact.half_axes)
    assert np.allclose(sorted(map(tuple, corners)), sorted(map(tuple, world.corners)))
    for grid in GRIDS.values():
        box = put_box(world, grid)
        index = to_index(affine_of(grid), corners) + 0.5
        assert (index.min(axis=0) >= np.array(box.low) - 1e-2).all()
        assert (index.max(axis=0) <= np.array(box.high) + 1e-2).all()
        assert (index.min(axis=0) < np.array(box.low) + 1).all()


def test_every_image_gets_the_same_exact_box():
    masks = {name: mask_on(grid) for name, grid in GRIDS.items()}
    prompts = simulate_prompts(
        masks, target="liver", kind="box", plan=load_protocol("box").prompts, seed=0, subject="s"
    )
    assert len({prompt.box_mm for prompt in prompts.values()}) == 1
    assert len({prompt.box for prompt in prompts.values()}) == 3


def test_prompts_without_it_are_plain_as_before():
    box = Box(low=(1, 1, 1), high=(3, 3, 3))
    assert "box_mm" not in plain_prompt(TargetPrompt(target="liver", box=box))
    assert plain_prompt(TargetPrompt(target="liver", box=box, box_mm=EXACT))["box_mm"]


def request(box_mm):
    grid = Grid(shape=(4, 5, 6), affine=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    target = Target(name="liver", box=Box(low=(1, 1, 1), high=(3, 3, 3)), box_mm=box_mm)
    return Request(
        id="r", case="c", round=0, images={"CT": ImageFile("a.nii.gz", "HU")}, grid=grid,
        targets=(target,),
    )  # fmt: skip


def test_a_request_carries_it_only_where_there_is_one():
    body = json.loads(json.dumps(dump_request(request(EXACT))))
    assert parse_request(body).targets[0].box_mm == EXACT
    assert "box_mm" not in dump_request(request(None))["targets"][0]
    assert (
        parse_request(json.loads(json.dumps(dump_request(request(None))))).targets[0].box_mm is None
    )


@pytest.mark.parametrize(
    "wrong", [1, {}, {"centre": [1, 2], "half_axes": []}, {"centre": [1, 2, 3], "half_axes": [[1]]}]
)
def test_a_wrong_box_is_named(wrong):
    body = json.loads(json.dumps(dump_request(request(EXACT))))
    body["targets"][0]["box_mm"] = wrong
    with pytest.raises(WireError, match=r"targets\[0\]\.box_mm"):
        parse_request(body)


@pytest.mark.parametrize("box", ["mm", "voxels"])
def test_only_a_model_whose_card_says_so_gets_it(project, tmp_path, box):
    project({"echo": ECHO}, prompts="box", box=box)
    run = order("echo", make_dataset(tmp_path / "data", ["a"]), "box", engine="local")
    given = {}
    for modality in ("CT", "PT"):
        (entry,) = run.record("a.a", modality).rounds
        given[modality] = entry.reply.notes["box_mm"]["liver"]
        stored = run.prompts("a.a").scan(modality).prompts[0]["liver"].box_mm
        assert (stored is not None) == (box == "mm")
    assert given["CT"] == given["PT"]
    assert (given["CT"] is not None) == (box == "mm")
    plain = read_json(run.prompts_path("a.a"))["prompts"]["CT"]["0"]["liver"]
    assert ("box_mm" in plain) == (box == "mm")
