"""How a request's prompts become those of nnInteractive's session: position, order, rounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from tests.zoo.bodies import GRIDS, body, dice
from tests.zoo.models import IdealSession, load
from zoo_sdk import Box, Point, Target, Unsupported, Volume, choose_options
from zoo_transforms.intensity import Undefined

pipeline = load("nninteractive", "pipeline")


@pytest.fixture(scope="module", params=["oblique LPI CT", "PIR MR", "PET"])
def phantom(request):
    return body(request.param)


def ask(phantom, target, number=0, masks=None, **options):
    """The reply, and the calls of the session."""
    session = IdealSession(phantom)
    request = replace(phantom.request(**options), targets=(target,), round=number)
    chosen = choose_options(request, pipeline.OPTIONS)
    prediction = pipeline.predict(
        phantom.image, request, session, chosen, read=lambda path, _: (masks or {})[path]
    )
    return prediction, session.calls


def box_of(mask):
    voxels = np.argwhere(mask)
    return Box(
        low=tuple(voxels.min(axis=0).tolist()), high=tuple((voxels.max(axis=0) + 1).tolist())
    )


def click(phantom, index, *, foreground=True, number=0):
    x, y, z = (phantom.affine @ [*index, 1])[:3]
    return Point(index=tuple(index), ras_mm=(x, y, z), foreground=foreground, round=number)


def place(phantom, image, index):
    """A voxel of the network's array as one of the image's grid."""
    return tuple(
        np.round(np.linalg.inv(phantom.affine) @ image.affine @ [*index, 1]).astype(int)[:3]
    )


@pytest.mark.parametrize("orientation", ["ras", "stored"])
def test_a_click_is_the_same_voxel(phantom, orientation):
    index = tuple(n // 3 for n in phantom.grid.shape)
    target = Target(
        name="t", points=(phantom.click("liver"), click(phantom, index, foreground=False))
    )
    _, [(image, start, earlier, steps, autozoom)] = ask(phantom, target, orientation=orientation)
    assert (start, earlier, autozoom) == (None, (), True)
    assert [(place(phantom, image, prompt.index), prompt.foreground) for (prompt,) in steps] == [
        (phantom.click("liver").index, True),
        (index, False),
    ]
    stored = phantom.image.array.transpose(2, 1, 0)
    assert np.array_equal(image.array, stored) == (
        orientation == "stored" or GRIDS[phantom.name][0][0, 0] == 1
    )
    np.testing.assert_array_equal(np.sort(image.array, axis=None), np.sort(stored, axis=None))


@pytest.mark.parametrize("orientation", ["ras", "stored"])
def test_of_a_box_the_middle_slice_across_the_body(phantom, orientation):
    box = box_of(phantom.mask("spleen"))
    prediction, [(image, _, _, [[flat]], _)] = ask(
        phantom, Target(name="t", box=box), orientation=orientation
    )
    assert dice(prediction.masks["t"], phantom.mask("spleen")) == 1
    size = np.subtract(flat.high, flat.low)
    along = int(np.argmin(size))
    assert size[along] == 1
    # that axis runs along the body, and the slice is the box's, halfway
    assert abs(image.affine[2, along]) == max(abs(image.affine[2, n]) for n in range(3))
    corners = np.array(
        [place(phantom, image, flat.low), place(phantom, image, np.array(flat.high) - 1)]
    )
    axis = int(np.flatnonzero(corners[0] == corners[1])[0])
    assert abs(corners[0][axis] - (box.low[axis] + box.high[axis] - 1) / 2) <= 0.5
    others = [n for n in range(3) if n != axis]
    assert [tuple(sorted(corners[:, n])) for n in others] == [
        (box.low[n], box.high[n] - 1) for n in others
    ]
    assert prediction.notes["targets"]["t"]["prompts"] == [
        {"box": [list(flat.low), list(flat.high)]}
    ]


def test_a_flat_box_is_left_as_it_is(phantom):
    box = box_of(phantom.mask("spleen"))
    flat = Box(
        low=(box.low[0], box.low[1] + 2, box.low[2]),
        high=(box.high[0], box.low[1] + 3, box.high[2]),
    )
    _, [(_, _, _, [[box_prompt]], _)] = ask(phantom, Target(name="t", box=flat))
    assert sorted(np.subtract(box_prompt.high, box_prompt.low)) == sorted(
        np.subtract(flat.high, flat.low)
    )


def test_refused_boxes_say_how_they_would_not_be(phantom):
    target = Target(name="t", box=box_of(phantom.mask("spleen")))
    prediction, calls = ask(phantom, target, box="refused")
    assert calls == []
    assert isinstance(prediction.masks["t"], Unsupported)
    assert "box=middle-slice" in prediction.masks["t"].reason
    _, [(_, _, _, steps, _)] = ask(
        phantom, replace(target, points=(phantom.click("spleen"),)), box="refused"
    )
    assert [type(prompt).__name__ for prompt in chain.from_iterable(steps)] == ["Click"]


def test_what_was_answered_is_given_back_and_not_predicted_again(phantom):
    mask = phantom.mask("liver")
    points = (
        click(phantom, (4, 5, 6), foreground=False, number=1),
        phantom.click("liver"),
        click(phantom, phantom.click("spleen").index, number=2),
    )
    target = Target(name="t", points=points, box=box_of(mask), previous="before")
    prediction, [(image, start, earlier, steps, _)] = ask(
        phantom, target, number=2, masks={"before": mask}
    )
    assert dice(prediction.masks["t"], phantom.mask("spleen")) == 1
    np.testing.assert_array_equal(start, phantom.labels_in(image) == 3)
    assert [type(prompt).__name__ for prompt in earlier] == ["Slice", "Click", "Click"]
    assert [prompt.foreground for prompt in earlier[1:]] == [True, False]
    ((prompt,),) = steps
    assert place(phantom, image, prompt.index) == phantom.click("spleen").index
    # without a mask every prompt is predicted again
    _, [(_, start, earlier, steps, _)] = ask(phantom, replace(target, previous=None), number=2)
    assert (start, earlier, len(steps)) == (None, (), 4)
    _, [(_, _, _, steps, _)] = ask(
        phantom, replace(target, previous=None), number=2, clicks="together"
    )
    assert [len(step) for step in steps] == [4]


def test_scribbles(phantom):
    line = np.zeros(phantom.grid.shape, bool)
    index = phantom.click("liver").index
    line[index[0] - 2 : index[0] + 3, index[1], index[2]] = True
    away = [click(phantom, (4, 5, n), foreground=False, number=2) for n in (3, 4, 5)]
    masks = {"drawn": line, "before": phantom.mask("lesion")}
    first = Target(name="t", points=(phantom.click("spleen"),), scribble="drawn", previous="before")
    # drawn in this round: nothing else came
    prediction, [(image, _, earlier, [[drawn]], _)] = ask(
        phantom, first, 1, masks, scribble="as-drawn"
    )
    assert dice(prediction.masks["t"], phantom.mask("liver")) == 1
    assert [type(prompt).__name__ for prompt in earlier] == ["Click"]
    voxels = np.argwhere(drawn.mask) + drawn.low
    assert {place(phantom, image, voxel) for voxel in voxels} == {
        tuple(v) for v in np.argwhere(line).tolist()
    }
    # drawn before: this round brought a line of background, which the contract gives as points
    second = replace(first, points=(*first.points, *away))
    _, [(image, _, earlier, [[drawn]], _)] = ask(phantom, second, 2, masks, scribble="as-drawn")
    assert [(type(prompt).__name__, prompt.foreground) for prompt in earlier] == [
        ("Click", True),
        ("Scribble", True),
    ]
    assert not drawn.foreground
    voxels = np.argwhere(drawn.mask) + drawn.low
    assert {place(phantom, image, voxel) for voxel in voxels} == {point.index for point in away}


def test_lines_are_two_voxels_thick_and_stay_inside(phantom):
    line = np.zeros(phantom.grid.shape, bool)
    line[3, 4, :] = True
    _, [(image, _, _, [[drawn]], _)] = ask(
        phantom, Target(name="t", scribble="drawn"), masks={"drawn": line}
    )
    thick = np.zeros(image.array.shape, bool)
    thick[
        tuple(slice(low, low + size) for low, size in zip(drawn.low, drawn.shape, strict=True))
    ] = drawn.mask
    _, [(_, _, _, [[thin]], _)] = ask(
        phantom, Target(name="t", scribble="drawn"), masks={"drawn": line}, scribble="as-drawn"
    )
    expected = np.zeros(image.array.shape, bool)
    for voxel in np.argwhere(thin.mask) + thin.low:
        expected[tuple(slice(n, n + 2) for n in voxel)] = True
    assert thick.sum() == 4 * phantom.grid.shape[2]
    np.testing.assert_array_equal(thick, expected)


def test_a_mask_alone_is_handed_on(phantom):
    class Refines(IdealSession):
        def segment(self, image, start, earlier, steps, *, autozoom):
            assert (earlier, steps) == ((), ())
            return start

    request = replace(phantom.request(), targets=(Target(name="t", previous="m"),))
    chosen = choose_options(request, pipeline.OPTIONS)
    prediction = pipeline.predict(
        phantom.image, request, Refines(phantom), chosen, read=lambda *_: phantom.mask("liver")
    )
    np.testing.assert_array_equal(prediction.masks["t"], phantom.mask("liver"))


@pytest.mark.parametrize(
    "target",
    [
        Target(name="t", text="liver"),
        Target(name="t", points=(Point((3, 3, 3), (0.0, 0.0, 0.0), foreground=False),)),
    ],
)
def test_nothing_to_start_from_is_unsupported(phantom, target):
    prediction, calls = ask(phantom, target)
    assert calls == []
    assert isinstance(prediction.masks["t"], Unsupported)


@pytest.mark.parametrize("values", [0.0, 7.0, np.nan])
def test_an_image_without_contrast_costs_an_error_and_no_crash(phantom, values):
    flat = Volume(
        np.full(phantom.grid.shape, values, np.float32), phantom.affine, phantom.image.unit
    )
    request = phantom.request("liver")
    session = IdealSession(phantom)
    prediction = pipeline.predict(flat, request, session, choose_options(request, pipeline.OPTIONS))
    assert isinstance(prediction.masks["liver"], Undefined)
    assert session.calls == []
