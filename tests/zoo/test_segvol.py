"""SegVol by text, click and box, and what becomes of them on the way through its two views."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import chain

import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from tests.zoo.bodies import ORGANS, body, dice
from tests.zoo.models import IdealSegVol, load
from zoo_sdk import Box, Point, Request, Target, Unsupported, Volume
from zoo_sdk.adapter import choose_options
from zoo_sdk.wire import ImageFile
from zoo_transforms.intensity import Undefined

cached_body = cache(body)
pipeline = load("segvol", "pipeline")


def ask(phantom, network, kinds, *names, **options):
    """Targets with only these kinds of prompts; boxes are the reference's."""
    request = phantom.request(*names, **options)
    targets = []
    for target in request.targets:
        voxels = np.argwhere(phantom.mask(target.name))
        box = Box(tuple(map(int, voxels.min(0))), tuple(map(int, voxels.max(0) + 1)))
        prompts = {
            "text": target.text if "text" in kinds else None,
            "points": target.points if "point" in kinds else (),
            "box": box if "box" in kinds else None,
        }
        targets.append(replace(target, **prompts))
    request = replace(request, targets=tuple(targets))
    return pipeline.predict(
        phantom.image, request, network, choose_options(request, pipeline.OPTIONS)
    )


@pytest.mark.parametrize("grid", ["LPS CT", "oblique LPI CT", "oblique PET"])
@pytest.mark.parametrize("kind", ["text", "point", "box"])
def test_each_kind_of_prompt_alone(grid, kind):
    """In windows of a large organ without its click, the box of the squeezed view is used."""
    phantom = cached_body(grid)
    prediction = ask(phantom, IdealSegVol(phantom), [kind], *ORGANS)
    for organ in ORGANS:
        assert dice(prediction.masks[organ], phantom.mask(organ)) >= (
            0.97 if phantom.volumes_ml[organ] > 50 else 0.9
        ), organ


@pytest.mark.parametrize(
    ("grid", "template", "text"),
    [
        ("oblique PET", "as-published", "A computerized tomography of a {}."),
        ("oblique PET", "by-modality", "A positron emission tomography of a {}."),
        ("LPS CT", "by-modality", "A computerized tomography of a {}."),
    ],
)
def test_the_text_names_the_modality_by_option(grid, template, text):
    phantom = cached_body(grid)
    network = IdealSegVol(phantom)
    prediction = ask(phantom, network, ["text"], "liver", template=template)
    assert {prompt.template for prompt in network.calls} == {prediction.notes["template"]} == {text}
    assert len(network.calls) > 1


def test_prompts_of_the_network():
    phantom = cached_body("LPS CT")
    network = IdealSegVol(phantom)
    ask(phantom, network, ["text"], "liver")
    assert all(prompt == pipeline.Prompt("liver") for prompt in network.calls)
    network = IdealSegVol(phantom)
    ask(phantom, network, ["point"], "aorta")
    first, *windows = network.calls
    assert first.box is None
    assert [kind for _, kind in first.clicks] == [1]
    assert len(windows) > 2
    # beside a click, and in its place where it is not, what was seen in the squeezed view
    assert all(prompt.box[0] >= 0 for prompt in windows)
    clicks = chain.from_iterable(prompt.clicks for prompt in windows)
    assert {kind for _, kind in clicks} == {1, -1}
    network = IdealSegVol(phantom)
    ask(phantom, network, ["box"], "lesion")
    coarse, fine = network.calls
    assert not coarse.clicks
    assert not fine.clicks
    assert phantom.label_of("lesion") == phantom.label_at(network_middle(network, phantom, fine))
    prediction = ask(phantom, network, [], "lesion")
    assert isinstance(prediction.masks["lesion"], Unsupported)


def network_middle(network, phantom, prompt):
    """The middle of a box in the view that was last looked at, mm."""
    affine = np.frombuffer(list(network.seen)[-1]).reshape(4, 4)
    return (affine @ [*(np.array(prompt.box[:3]) + prompt.box[3:]) / 2, 1])[:3]


class BlockNetwork:
    """Foreground in a part of the squeezed view, and everywhere in windows."""

    def __init__(self, part=()):
        self.part, self.calls = part, []

    def embed(self, view):
        return view

    def decode(self, view, prompt):
        self.calls.append((view, prompt))
        if len(self.calls) > 1:
            return np.ones(pipeline.SHAPE, np.float32)
        logits = np.full(pipeline.SHAPE, -1, np.float32)
        logits[self.part] = 1
        return logits


def a_block(shape, points=(), **options):
    """A request about a volume that grows brighter along all axes."""
    affine = np.diag([1.0, 1, 1, 1])
    grid = make_grid(shape, affine)
    request = Request(
        "r",
        "c",
        0,
        {"CT": ImageFile("i", "HU")},
        grid,
        (Target("x", None, points),),
        options=options,
    )
    return request, Volume(np.indices(shape).sum(0).astype(np.float32) - 50, affine)


def test_nothing_found_ends_it_and_leaving_out_the_second_step():
    click = Point(index=(100, 90, 50), ras_mm=(100.0, 90.0, 50.0))
    request, image = a_block((200, 180, 100), (click,))
    empty = BlockNetwork((slice(0),))
    prediction = pipeline.predict(image, request, empty, choose_options(request, pipeline.OPTIONS))
    assert not prediction.masks["x"].any()
    assert prediction.notes["targets"]["x"]["found"] is False
    assert len(empty.calls) == 1
    request, image = a_block((200, 180, 100), (click,), zoom="out")
    block = BlockNetwork((slice(4, 20), slice(10, 250), slice(10, 250)))
    prediction = pipeline.predict(image, request, block, choose_options(request, pipeline.OPTIONS))
    assert len(block.calls) == 1
    assert prediction.masks["x"].any()


def test_a_click_gets_lost_as_published_and_not_by_default():
    """A volume of 100 columns takes 100 of the squeezed view's 256; a click on another is lost."""
    shape = (101, 101, 40)
    lost = {}
    for reflection in ("direct", "as-published"):
        shown = []
        for n in range(40, 60):
            request, image = a_block(
                shape, (Point((n, 70, 20), (float(n), 70.0, 20.0)),), reflection=reflection
            )
            network = BlockNetwork((slice(None), slice(None), slice(None)))
            pipeline.predict(image, request, network, choose_options(request, pipeline.OPTIONS))
            windows = [prompt for _, prompt in network.calls[1:]]
            clicks = chain.from_iterable(prompt.clicks for prompt in windows)
            shown.append(any(kind == 1 for _, kind in clicks))
        lost[reflection] = 20 - sum(shown)
    assert lost["direct"] == 0
    assert 0 < lost["as-published"] <= 20


def test_the_region_is_a_view_at_least():
    """What upstream's ``logits2roi_coor`` gives."""
    mask = np.zeros((100, 300, 400), bool)
    mask[50:55, 100:103, 0:2] = True
    assert pipeline.region(mask) == (slice(37, 68), slice(0, 229), slice(0, 129))
    mask[10:90] = True
    assert pipeline.region(mask) == (slice(10, 90), slice(0, 300), slice(0, 400))
    assert pipeline.corners_of(mask) == (10, 0, 0, 89, 299, 399)
    assert pipeline.corners_of(np.zeros((3, 3, 3), bool)) == (-1,) * 6


def test_nearest_voxels_are_torchs():
    """What torch 2.13's interpolate gives for these sizes."""
    assert pipeline.source(5, 3, exact=True).tolist() == [0, 2, 4]
    assert pipeline.source(5, 3, exact=False).tolist() == [0, 1, 3]
    assert pipeline.source(2, 5, exact=True).tolist() == [0, 0, 1, 1, 1]
    assert (
        pipeline.source(7, 7, exact=True).tolist()
        == pipeline.source(7, 7, exact=False).tolist()
        == list(range(7))
    )


def test_orientation_is_brought_about_or_not():
    phantom = cached_body("PIR MR")
    turned = pipeline.prepare(phantom.image, "ras")
    stored = pipeline.prepare(phantom.image, "as-stored")
    np.testing.assert_array_equal(stored.affine[:3, :3], phantom.affine[:3, [2, 1, 0]])
    assert np.argmax(abs(turned.affine[:3, 0])) == 2
    assert np.argmax(abs(stored.affine[:3, 0])) == 0
    with pytest.raises(Undefined, match="equal"):
        pipeline.prepare(Volume(np.ones((4, 5, 6), np.float32), np.eye(4)), "ras")
