"""VISTA3D by class, by clicks and by both, with networks that are always right or whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from evaluator.geometry import make_grid
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


def ask(own, network, *names, memory=None, image=None, **options):
    request = own.request(*names, **options)
    chosen = choose_options(request, pipeline.OPTIONS)
    return pipeline.predict(image or own.image, request, network, chosen, memory)


@pytest.mark.parametrize("grid", ["LPS CT", "oblique MR", "anisotropic CT", "oblique PET"])
def test_classes_come_back_whole_and_all_at_once(grid):
    own = cached_body(grid)
    network = IdealVista3d(own)
    said = ask(own, network, *CLASSES, clicks="unused")
    for organ in CLASSES:
        floor = 0.97 if own.volumes_ml[organ] > 50 else 0.9
        assert dice(said.masks[organ], own.mask(organ)) >= floor, organ
    windows = len(network.asked)
    assert len(set(network.asked)) == 1
    assert sorted(network.asked[0]) == [1, 3, 4, 6, 14, 28, 29, 30, 31, 32]
    assert said.notes["targets"]["lung"] == {"classes": [28, 29, 30, 31, 32]}
    assert said.notes["classes"] == {organ: list(labels.numbers(organ)) for organ in CLASSES}
    assert windows > 1
    assert not network.clicked


def test_every_organ_of_the_project_is_a_class():
    known = {organ: labels.numbers(organ) for organ in load_organs().names()}
    assert known.pop("lesion") == ()
    assert all(known.values())
    assert known["kidney-left"] == (14,)
    assert known["kidney-right"] == (5,)
    assert known["colon"] == (62,)
    assert labels.numbers("Left Kidney") == (14,)
    assert labels.numbers("urinary bladder") == labels.numbers("bladder") == (15,)
    assert labels.numbers("kidney") == (14, 5)
    assert len(labels.numbers("bone")) == 62
    assert set(labels.CLASSES.values()).isdisjoint({2, 16, 18, 20, 21, 129, 130, 131})
    assert len(labels.CLASSES) + len(labels.UNIONS) == 127


def test_what_has_no_class_is_asked_by_clicks_only():
    own = cached_body("PET")
    network = IdealVista3d(own)
    said = ask(own, network, "lesion", clicks="unused")
    assert isinstance(said.masks["lesion"], Unsupported)
    assert not network.asked
    ask(own, network, "lesion", "spleen")
    assert [known for _, known, _ in network.clicked] == [False, True]
    away = replace(own.request("spleen").targets[0].points[0], foreground=False)
    request = replace(
        own.request("spleen"), targets=(replace(own.request("spleen").targets[0], points=(away,)),)
    )
    said = pipeline.predict(own.image, request, network, choose_options(request, pipeline.OPTIONS))
    assert isinstance(said.masks["spleen"], Unsupported)


def test_clicks_correct_a_class_and_rounds_share_it():
    own = cached_body("LPS CT")
    network, memory = IdealVista3d(own), pipeline.Memory()
    said = ask(own, network, "lung", "aorta", memory=memory, clicks="with-class")
    assert all(dice(said.masks[organ], own.mask(organ)) > 0.97 for organ in ("lung", "aorta"))
    assert [before for *_, before in network.clicked] == [True, True]
    windows = len(network.asked)
    ask(own, network, "lung", "aorta", memory=memory, clicks="with-class")
    assert len(network.asked) == windows
    brighter = Volume(own.image.array + 1, own.image.affine)
    ask(own, network, "lung", "aorta", memory=memory, image=brighter, clicks="with-class")
    assert len(network.asked) == 2 * windows


class Known:
    """Classes 1 and 3 take halves of every window that overlap, 3 more strongly in the overlap."""

    def classes(self, patch, ids):
        made = {n: np.full(patch.array.shape, -1, np.float32) for n in ids}
        if 1 in made:
            made[1][:80] = 1
        if 3 in made:
            made[3][60:] = 2
        return [made[n] for n in ids]

    def clicks(self, patch, clicks, known, before):
        made = np.full(patch.array.shape, -1, np.float32)
        made[10:60, 10:60, 10:60] = made[70:75, 70:75, 70:75] = 1
        return made


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
    said = pipeline.predict(image, request, Known(), choose_options(request, pipeline.OPTIONS))
    both = said.masks["liver"] & said.masks["spleen"]
    # the volume lies in the middle of one window, 14 voxels in
    assert said.masks["spleen"][46:].all()
    assert not said.masks["spleen"][:46].any()
    assert said.masks["liver"].sum(0).max() == (66 if overlaps == "kept" else 46)
    assert both.any() == (overlaps == "kept")


def test_only_parts_with_a_click_are_kept_unless_the_object_is_unknown():
    click = Point(index=(20, 20, 20), ras_mm=(30.0, 30.0, 30.0))
    for name, size in (("spleen", 46**3), ("philtrum", 46**3 + 5**3)):
        request, image = a_cube((name,), (click,))
        said = pipeline.predict(image, request, Known(), choose_options(request, pipeline.OPTIONS))
        assert said.masks[name].sum() == size


def test_windows_about_clicks():
    """What monai's ``_get_window_idx_c`` gives, in the unpadded volume."""
    assert pipeline.window_about((63.9, 64.0, 100.7), (300, 300, 300)) == (0, 0, 36)
    assert pipeline.window_about((236.0, 236.1, 299.0), (300, 300, 300)) == (172, 172, 172)
    assert pipeline.window_about((5.0, 90.0, 0.0), (101, 101, 128)) == (-13, -13, 0)
    assert pipeline.in_window(
        [((0.0, 5.0, 5.0), 1), ((1.0, 5.0, 128.0), 0), ((1.0, 5.0, 127.5), 0)], (0, 0, 0)
    ) == [((1.0, 5.0, 127.5), 0)]


def test_intensities():
    """The published window makes a constant of a PET, percentiles do not; CT has the window either way."""
    own = cached_body("PET")
    pet = Volume(own.image.array / 200, own.image.affine)
    shown = {}
    for intensity in ("auto", "as-published"):
        said = ask(
            own,
            IdealVista3d(own) if intensity == "auto" else Known(),
            "spleen",
            image=pet,
            intensity=intensity,
        )
        shown[intensity] = pipeline.prepare(
            pet, pipeline.VoxelGrid(pet.array.shape, pet.affine), said.notes["intensity"]
        ).array
    assert np.ptp(shown["auto"]) == 1
    assert np.ptp(shown["as-published"]) < 0.01
    assert (
        ask(cached_body("RAS CT"), IdealVista3d(cached_body("RAS CT")), "spleen").notes["intensity"]
        == "HU window"
    )
    with pytest.raises(Undefined, match="no voxel"):
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


def test_no_class_is_lost_when_more_are_remembered_than_fit():
    """Images that come again after others had their classes remembered: as if each were the first."""
    memory, images = pipeline.Memory(), []
    names = ("liver", "lung", "bone")
    for brightness in (1.0, 2.0, 3.0, 1.0):
        request, image = a_cube(names)
        images.append(Volume(image.array * np.float32(brightness), image.affine))
        chosen = choose_options(request, pipeline.OPTIONS)
        found = pipeline.predict(images[-1], request, Known(), chosen, memory)
        fresh = pipeline.predict(images[-1], request, Known(), chosen)
        for name in names:
            np.testing.assert_array_equal(found.masks[name], fresh.masks[name])


def test_a_text_that_is_no_class_is_not_replaced_by_the_name():
    request, image = a_cube(("liver",))
    wrong = replace(request, targets=(Target("liver", "sllpeen", ()),))
    chosen = choose_options(wrong, pipeline.OPTIONS)
    assert isinstance(pipeline.predict(image, wrong, Known(), chosen).masks["liver"], Unsupported)
    unsaid = replace(request, targets=(Target("liver", None, ()),))
    assert pipeline.predict(image, unsaid, Known(), chosen).masks["liver"].any()
