"""VISTA3D by class, by clicks and by both, with ideal networks and with fixed ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from evaluator.imaging.geometry import make_grid
from evaluator.manifests.organs import load_organs
from tests.zoo.bodies import ORGANS, body, dice
from tests.zoo.models import IdealVista3d, load
from zoo_sdk import Point, Request, Target, Unsupported, Volume
from zoo_sdk.adapter import choose_options
from zoo_sdk.wire import ImageFile
from zoo_transforms.intensity import Undefined

cached_body = cache(body)
pipeline, labels = load("vista3d", "pipeline"), load("vista3d", "labels")
CLASSES = tuple(organ for organ in ORGANS if organ != "lesion")


def ask(phantom, network, *names, memory=None, image=None, **options):
    request = phantom.request(*names, **options)
    chosen = choose_options(request, pipeline.OPTIONS)
    return pipeline.predict(image or phantom.image, request, network, chosen, memory)


@pytest.mark.parametrize(
    "grid",
    [
        "anisotropic CT",
        "oblique PET",
        pytest.param("LPS CT", marks=pytest.mark.extended),
        pytest.param("oblique MR", marks=pytest.mark.extended),
    ],
)
def test_classes_come_back_whole_and_all_at_once(grid):
    phantom = cached_body(grid)
    network = IdealVista3d(phantom)
    prediction = ask(phantom, network, *CLASSES, clicks="unused")
    for organ in CLASSES:
        floor = 0.97 if phantom.volumes_ml[organ] > 50 else 0.9
        assert dice(prediction.masks[organ], phantom.mask(organ)) >= floor, organ
    windows = len(network.calls)
    assert len(set(network.calls)) == 1
    assert sorted(network.calls[0]) == [1, 3, 4, 6, 14, 28, 29, 30, 31, 32]
    assert prediction.notes["targets"]["lung"] == {"classes": [28, 29, 30, 31, 32]}
    assert prediction.notes["classes"] == {organ: list(labels.numbers(organ)) for organ in CLASSES}
    assert windows > 1
    assert not network.clicked


def test_every_organ_of_the_project_is_a_class():
    classes = {organ: labels.numbers(organ) for organ in load_organs().names()}
    assert classes.pop("lesion") == ()
    assert all(classes.values())
    assert classes["kidney-left"] == (14,)
    assert classes["kidney-right"] == (5,)
    assert classes["colon"] == (62,)
    assert labels.numbers("Left Kidney") == (14,)
    assert labels.numbers("urinary bladder") == labels.numbers("bladder") == (15,)
    assert labels.numbers("kidney") == (14, 5)
    assert len(labels.numbers("bone")) == 62
    assert set(labels.CLASSES.values()).isdisjoint({2, 16, 18, 20, 21, 129, 130, 131})
    assert len(labels.CLASSES) + len(labels.UNIONS) == 127


def test_a_target_without_a_class_needs_clicks():
    phantom = cached_body("PET")
    network = IdealVista3d(phantom)
    prediction = ask(phantom, network, "lesion", clicks="unused")
    assert isinstance(prediction.masks["lesion"], Unsupported)
    assert not network.calls
    ask(phantom, network, "lesion", "spleen")
    assert [is_class for _, is_class, _ in network.clicked] == [False, True]
    away = replace(phantom.request("spleen").targets[0].points[0], foreground=False)
    request = replace(
        phantom.request("spleen"),
        targets=(replace(phantom.request("spleen").targets[0], points=(away,)),),
    )
    prediction = pipeline.predict(
        phantom.image, request, network, choose_options(request, pipeline.OPTIONS)
    )
    assert isinstance(prediction.masks["spleen"], Unsupported)


@pytest.mark.extended
def test_clicks_correct_a_class_and_rounds_share_it():
    phantom = cached_body("LPS CT")
    network, memory = IdealVista3d(phantom), pipeline.Memory()
    prediction = ask(phantom, network, "lung", "aorta", memory=memory, clicks="with-class")
    assert all(
        dice(prediction.masks[organ], phantom.mask(organ)) > 0.97 for organ in ("lung", "aorta")
    )
    assert [before for *_, before in network.clicked] == [True, True]
    windows = len(network.calls)
    ask(phantom, network, "lung", "aorta", memory=memory, clicks="with-class")
    assert len(network.calls) == windows
    brighter = Volume(phantom.image.array + 1, phantom.image.affine)
    ask(phantom, network, "lung", "aorta", memory=memory, image=brighter, clicks="with-class")
    assert len(network.calls) == 2 * windows


class FixedNetwork:
    """Classes 1 and 3 take halves of every window that overlap, 3 more strongly in the overlap."""

    def classes(self, patch, ids):
        logits = {n: np.full(patch.array.shape, -1, np.float32) for n in ids}
        if 1 in logits:
            logits[1][:80] = 1
        if 3 in logits:
            logits[3][60:] = 2
        return [logits[n] for n in ids]

    def clicks(self, patch, clicks, is_class, before):
        logits = np.full(patch.array.shape, -1, np.float32)
        logits[10:60, 10:60, 10:60] = logits[70:75, 70:75, 70:75] = 1
        return logits


def a_cube(names, points=(), **options):
    """A request about 100 voxels of 1.5 mm each way, all of them one."""
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    targets = tuple(Target(name, name, points) for name in names)
    grid = make_grid((100, 100, 100), affine)
    request = Request("r", "c", 0, {"CT": ImageFile("i", "HU")}, grid, targets, options=options)
    return request, Volume(np.ones(grid.shape, np.float32), affine)


@pytest.mark.parametrize("overlaps", ["kept", "argmax"])
def test_overlapping_classes(overlaps):
    request, image = a_cube(("liver", "spleen"), overlaps=overlaps)
    prediction = pipeline.predict(
        image, request, FixedNetwork(), choose_options(request, pipeline.OPTIONS)
    )
    shared = prediction.masks["liver"] & prediction.masks["spleen"]
    # the volume lies in the middle of one window, 14 voxels in
    assert prediction.masks["spleen"][46:].all()
    assert not prediction.masks["spleen"][:46].any()
    assert prediction.masks["liver"].sum(0).max() == (66 if overlaps == "kept" else 46)
    assert shared.any() == (overlaps == "kept")


def test_only_parts_with_a_click_are_kept_unless_the_object_is_unknown():
    click = Point(index=(20, 20, 20), ras_mm=(30.0, 30.0, 30.0))
    for name, size in (("spleen", 46**3), ("philtrum", 46**3 + 5**3)):
        request, image = a_cube((name,), (click,))
        prediction = pipeline.predict(
            image, request, FixedNetwork(), choose_options(request, pipeline.OPTIONS)
        )
        assert prediction.masks[name].sum() == size


def test_windows_about_clicks():
    """What monai's ``_get_window_idx_c`` gives, in the unpadded volume."""
    assert pipeline.window_about((63.9, 64.0, 100.7), (300, 300, 300)) == (0, 0, 36)
    assert pipeline.window_about((236.0, 236.1, 299.0), (300, 300, 300)) == (172, 172, 172)
    assert pipeline.window_about((5.0, 90.0, 0.0), (101, 101, 128)) == (-13, -13, 0)
    assert pipeline.in_window(
        [((0.0, 5.0, 5.0), 1), ((1.0, 5.0, 128.0), 0), ((1.0, 5.0, 127.5), 0)], (0, 0, 0)
    ) == [((1.0, 5.0, 127.5), 0)]


def test_intensities():
    """The published window turns a PET into a constant, percentiles do not; CT keeps the window."""
    phantom = cached_body("PET")
    pet = Volume(phantom.image.array / 200, phantom.image.affine)
    shown = {}
    for intensity in ("auto", "as-published"):
        prediction = ask(
            phantom,
            IdealVista3d(phantom) if intensity == "auto" else FixedNetwork(),
            "spleen",
            image=pet,
            intensity=intensity,
        )
        shown[intensity] = pipeline.prepare(
            pet, pipeline.VoxelGrid(pet.array.shape, pet.affine), prediction.notes["intensity"]
        ).array
    assert np.ptp(shown["auto"]) == 1
    assert np.ptp(shown["as-published"]) < 0.01
    assert (
        ask(cached_body("RAS CT"), IdealVista3d(cached_body("RAS CT")), "spleen").notes["intensity"]
        == "HU window"
    )
    with pytest.raises(Undefined, match="no foreground voxel"):
        pipeline.prepare(
            Volume(np.zeros((5, 6, 7)), np.eye(4)),
            pipeline.VoxelGrid((5, 6, 7), np.eye(4)),
            "HU window",
        )
    with pytest.raises(Undefined, match="percentiles"):
        pipeline.prepare(
            Volume(np.ones((5, 6, 7)), np.eye(4)),
            pipeline.VoxelGrid((5, 6, 7), np.eye(4)),
            "percentiles 1 to 99",
        )


def test_the_view_is_cropped_to_what_is_above_zero():
    array = np.full((60, 50, 40), -1000.0)
    array[20:30, 20:30, 5:10] = 50
    affine = np.diag([-1.5, 1.5, 1.5, 1.0])
    view = pipeline.prepare(
        Volume(array, affine), pipeline.VoxelGrid(array.shape, affine), "HU window"
    )
    assert view.array.shape == (30, 30, 20)
    np.testing.assert_allclose(view.affine[:3, 3], [-39 * 1.5, 15, 0])
    assert view.array.dtype == np.float32


@pytest.mark.extended
def test_no_class_is_lost_when_more_are_remembered_than_fit():
    """An image that returns after others filled the cache gives the same masks as before."""
    memory, images = pipeline.Memory(), []
    names = ("liver", "lung", "bone")
    for brightness in (1.0, 2.0, 3.0, 1.0):
        request, image = a_cube(names)
        images.append(Volume(image.array * np.float32(brightness), image.affine))
        chosen = choose_options(request, pipeline.OPTIONS)
        cached = pipeline.predict(images[-1], request, FixedNetwork(), chosen, memory)
        fresh = pipeline.predict(images[-1], request, FixedNetwork(), chosen)
        for name in names:
            np.testing.assert_array_equal(cached.masks[name], fresh.masks[name])


def test_a_text_that_is_no_class_is_not_replaced_by_the_name():
    request, image = a_cube(("liver",))
    wrong = replace(request, targets=(Target("liver", "sllpeen", ()),))
    chosen = choose_options(wrong, pipeline.OPTIONS)
    assert isinstance(
        pipeline.predict(image, wrong, FixedNetwork(), chosen).masks["liver"], Unsupported
    )
    without_text = replace(request, targets=(Target("liver", None, ()),))
    assert pipeline.predict(image, without_text, FixedNetwork(), chosen).masks["liver"].any()
