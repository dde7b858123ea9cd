"""How a request's prompts become those of nnInteractive's session: where, in which order, and what was answered before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.zoo.bodies import GRIDS, body, dice
from tests.zoo.models import IdealSession, load
from zoo_sdk import Box, Point, Target, Unsupported, Volume, choose_options
from zoo_transforms.intensity import Undefined

pipeline = load("nninteractive", "pipeline")


@pytest.fixture(scope="module", params=["oblique LPI CT", "PIR MR", "PET"])
def own(request):
    return body(request.param)


def ask(own, target, number=0, masks=None, **options):
    """The reply, and what the session was asked."""
    session = IdealSession(own)
    request = replace(own.request(**options), targets=(target,), round=number)
    chosen = choose_options(request, pipeline.OPTIONS)
    said = pipeline.predict(
        own.image, request, session, chosen, read=lambda path, _: (masks or {})[path]
    )
    return said, session.asked


def box_of(mask):
    hits = [
        np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis))) for axis in range(3)
    ]
    return Box(low=tuple(int(hit[0]) for hit in hits), high=tuple(int(hit[-1]) + 1 for hit in hits))


def click(own, index, *, foreground=True, number=0):
    x, y, z = (own.affine @ [*index, 1])[:3]
    return Point(index=tuple(index), ras_mm=(x, y, z), foreground=foreground, round=number)


def place(own, image, index):
    """A voxel of the network's array as one of the image's grid."""
    return tuple(np.round(np.linalg.inv(own.affine) @ image.affine @ [*index, 1]).astype(int)[:3])


@pytest.mark.parametrize("orientation", ["ras", "stored"])
def test_a_click_is_the_same_voxel(own, orientation):
    index = tuple(n // 3 for n in own.grid.shape)
    target = Target(name="t", points=(own.click("liver"), click(own, index, foreground=False)))
    _, [(image, start, given, steps, autozoom)] = ask(own, target, orientation=orientation)
    assert (start, given, autozoom) == (None, (), True)
    assert [(place(own, image, prompt.index), prompt.foreground) for (prompt,) in steps] == [
        (own.click("liver").index, True),
        (index, False),
    ]
    stored = own.image.array.transpose(2, 1, 0)
    assert np.array_equal(image.array, stored) == (
        orientation == "stored" or GRIDS[own.name][0][0, 0] == 1
    )
    np.testing.assert_array_equal(np.sort(image.array, axis=None), np.sort(stored, axis=None))


@pytest.mark.parametrize("orientation", ["ras", "stored"])
def test_of_a_box_the_middle_slice_across_the_body(own, orientation):
    box = box_of(own.mask("spleen"))
    said, [(image, _, _, [[found]], _)] = ask(
        own, Target(name="t", box=box), orientation=orientation
    )
    assert dice(said.masks["t"], own.mask("spleen")) == 1
    size = np.subtract(found.high, found.low)
    along = int(np.argmin(size))
    assert size[along] == 1
    # that axis runs along the body, and the slice is the box's, halfway
    assert abs(image.affine[2, along]) == max(abs(image.affine[2, n]) for n in range(3))
    corners = np.array([place(own, image, found.low), place(own, image, np.array(found.high) - 1)])
    axis = int(np.flatnonzero(corners[0] == corners[1])[0])
    assert abs(corners[0][axis] - (box.low[axis] + box.high[axis] - 1) / 2) <= 0.5
    others = [n for n in range(3) if n != axis]
    assert [tuple(sorted(corners[:, n])) for n in others] == [
        (box.low[n], box.high[n] - 1) for n in others
    ]
    assert said.notes["targets"]["t"]["prompts"] == [{"box": [list(found.low), list(found.high)]}]


def test_a_flat_box_is_left_as_it_is(own):
    box = box_of(own.mask("spleen"))
    flat = Box(
        low=(box.low[0], box.low[1] + 2, box.low[2]),
        high=(box.high[0], box.low[1] + 3, box.high[2]),
    )
    _, [(_, _, _, [[found]], _)] = ask(own, Target(name="t", box=flat))
    assert sorted(np.subtract(found.high, found.low)) == sorted(np.subtract(flat.high, flat.low))


def test_refused_boxes_say_how_they_would_not_be(own):
    target = Target(name="t", box=box_of(own.mask("spleen")))
    said, asked = ask(own, target, box="refused")
    assert asked == []
    assert isinstance(said.masks["t"], Unsupported)
    assert "box=middle-slice" in said.masks["t"].reason
    _, [(_, _, _, steps, _)] = ask(
        own, replace(target, points=(own.click("spleen"),)), box="refused"
    )
    assert [type(prompt).__name__ for step in steps for prompt in step] == ["Click"]


def test_what_was_answered_is_given_back_and_not_predicted_again(own):
    mask = own.mask("liver")
    points = (
        click(own, (4, 5, 6), foreground=False, number=1),
        own.click("liver"),
        click(own, own.click("spleen").index, number=2),
    )
    target = Target(name="t", points=points, box=box_of(mask), previous="before")
    said, [(image, start, given, steps, _)] = ask(own, target, number=2, masks={"before": mask})
    assert dice(said.masks["t"], own.mask("spleen")) == 1
    np.testing.assert_array_equal(start, own.labels_in(image) == 3)
    assert [type(prompt).__name__ for prompt in given] == ["Slice", "Click", "Click"]
    assert [prompt.foreground for prompt in given[1:]] == [True, False]
    assert [[place(own, image, prompt.index) for prompt in step] for step in steps] == [
        [own.click("spleen").index]
    ]
    # without a mask everything is asked again
    _, [(_, start, given, steps, _)] = ask(own, replace(target, previous=None), number=2)
    assert (start, given, len(steps)) == (None, (), 4)
    _, [(_, _, _, steps, _)] = ask(own, replace(target, previous=None), number=2, clicks="together")
    assert [len(step) for step in steps] == [4]


def test_scribbles(own):
    line = np.zeros(own.grid.shape, bool)
    index = own.click("liver").index
    line[index[0] - 2 : index[0] + 3, index[1], index[2]] = True
    away = [click(own, (4, 5, n), foreground=False, number=2) for n in (3, 4, 5)]
    masks = {"drawn": line, "before": own.mask("lesion")}
    first = Target(name="t", points=(own.click("spleen"),), scribble="drawn", previous="before")
    # drawn in this round: nothing else came
    said, [(image, _, given, [[drawn]], _)] = ask(own, first, 1, masks, scribble="as-drawn")
    assert dice(said.masks["t"], own.mask("liver")) == 1
    assert [type(prompt).__name__ for prompt in given] == ["Click"]
    voxels = np.argwhere(drawn.mask) + drawn.low
    assert {place(own, image, voxel) for voxel in voxels} == {
        tuple(v) for v in np.argwhere(line).tolist()
    }
    # drawn before: this round brought a line of background, which the contract gives as points
    second = replace(first, points=(*first.points, *away))
    _, [(image, _, given, [[drawn]], _)] = ask(own, second, 2, masks, scribble="as-drawn")
    assert [(type(prompt).__name__, prompt.foreground) for prompt in given] == [
        ("Click", True),
        ("Scribble", True),
    ]
    assert not drawn.foreground
    voxels = np.argwhere(drawn.mask) + drawn.low
    assert {place(own, image, voxel) for voxel in voxels} == {point.index for point in away}


def test_lines_are_two_voxels_thick_and_stay_inside(own):
    line = np.zeros(own.grid.shape, bool)
    line[3, 4, :] = True
    _, [(image, _, _, [[drawn]], _)] = ask(
        own, Target(name="t", scribble="drawn"), masks={"drawn": line}
    )
    thick = np.zeros(image.array.shape, bool)
    thick[
        tuple(slice(low, low + size) for low, size in zip(drawn.low, drawn.shape, strict=True))
    ] = drawn.mask
    _, [(_, _, _, [[thin]], _)] = ask(
        own, Target(name="t", scribble="drawn"), masks={"drawn": line}, scribble="as-drawn"
    )
    expected = np.zeros(image.array.shape, bool)
    for voxel in np.argwhere(thin.mask) + thin.low:
        expected[tuple(slice(n, n + 2) for n in voxel)] = True
    assert thick.sum() == 4 * own.grid.shape[2]
    np.testing.assert_array_equal(thick, expected)


def test_a_mask_alone_is_handed_on(own):
    class Refines(IdealSession):
        def segment(self, image, start, given, steps, *, autozoom):
            assert (given, steps) == ((), ())
            return start

    request = replace(own.request(), targets=(Target(name="t", previous="m"),))
    chosen = choose_options(request, pipeline.OPTIONS)
    said = pipeline.predict(
        own.image, request, Refines(own), chosen, read=lambda *_: own.mask("liver")
    )
    np.testing.assert_array_equal(said.masks["t"], own.mask("liver"))


@pytest.mark.parametrize(
    "target",
    [
        Target(name="t", text="liver"),
        Target(name="t", points=(Point((3, 3, 3), (0.0, 0.0, 0.0), foreground=False),)),
    ],
)
def test_nothing_to_start_from_is_unsupported(own, target):
    said, asked = ask(own, target)
    assert asked == []
    assert isinstance(said.masks["t"], Unsupported)


@pytest.mark.parametrize("values", [0.0, 7.0, np.nan])
def test_an_image_without_contrast_costs_an_error_and_no_crash(own, values):
    flat = Volume(np.full(own.grid.shape, values, np.float32), own.affine, own.image.unit)
    request = own.request("liver")
    session = IdealSession(own)
    said = pipeline.predict(flat, request, session, choose_options(request, pipeline.OPTIONS))
    assert isinstance(said.masks["liver"], Undefined)
    assert session.asked == []
