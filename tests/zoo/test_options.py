"""Options that decide a score: each changes what it names, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from tests.zoo.bodies import GRIDS, body, dice
from tests.zoo.models import IdealCtFm, IdealSam, load
from zoo_sdk import Grid, Volume
from zoo_sdk.adapter import choose_options
from zoo_transforms.resampling import canonical, sample, voxel_grid_of


def predict(model: str, phantom, network, *organs: str, **options: str):
    pipeline = load(model, "pipeline")
    request = phantom.request(*organs, **options)
    return pipeline.predict(
        phantom.image, request, network, choose_options(request, pipeline.OPTIONS)
    )


@pytest.mark.parametrize(
    ("grid", "option", "is_cut"),
    [
        ("LPS CT", "clamped", True),
        ("LPS CT", "as-published", False),
        ("oblique MR", "clamped", False),
        ("PET", "clamped", False),
    ],
)
def test_sam_med3d_cuts_ct_and_nothing_else(grid, option, is_cut):
    phantom = body(grid)
    crops = []

    class Watching(IdealSam):
        def embed(self, crop):
            crops.append(crop.array)
            return crop

    prediction = predict("sam-med3d", phantom, Watching(phantom), "liver", ct=option)
    # bright values become one value, the largest
    share = np.mean(crops[0] == crops[0].max())
    assert (share > 0.05) == is_cut, share
    assert prediction.notes["intensity"] == ("cut at -1000 and 1000 HU" if is_cut else "not cut")


def test_ct_fm_keeps_the_largest_component_of_each_class():
    phantom = body("LPS CT")

    class WithIsland(IdealCtFm):
        """Answers liver in a corner of each window, too, where there is background."""

        def logits(self, patch):
            channels = super().logits(patch)
            corner = (slice(0, 4), slice(0, 4), slice(0, 4))
            free = self.body.labels_in(patch)[corner] == 0
            channels[self.classes.index("liver")][corner] = 9 * free
            return channels

    results = {
        option: predict("ct-fm", phantom, WithIsland(phantom), "liver", components=option).masks[
            "liver"
        ]
        for option in ("all", "largest")
    }
    assert (results["all"] & ~results["largest"]).sum() > 0
    assert dice(results["largest"], phantom.mask("liver")) > 0.99
    _, components = ndimage.label(results["largest"], np.ones((3, 3, 3)))
    assert components == 1


def test_vista3d_lets_all_classes_of_everything_compete():
    phantom = body("LPS CT")
    labels = load("vista3d", "labels")
    assert len(labels.EVERYTHING) == 117
    assert not {2, 16, 18, 20, 21, 23, 24, 25, 26, 27, 128, 129, 130, 131, 132} & set(
        labels.EVERYTHING
    )

    rng = np.random.default_rng(0)
    # one window of 128 voxels
    image = Volume(
        rng.integers(-200, 300, (40, 36, 30)).astype(np.float32), np.diag([1.5, 1.5, 1.5, 1.0])
    )
    grid = Grid(shape=image.array.shape, affine=tuple(map(tuple, image.affine.tolist())))
    request = replace(phantom.request("liver"), grid=grid)

    class WithRival:
        """Liver is everywhere; the spleen's class claims every other voxel with a larger logit."""

        def classes(self, patch, ids):
            upper = np.indices(patch.array.shape)[2] % 2 == 0
            logits = {1: np.full(upper.shape, 3.0), 3: np.where(upper, 5.0, -3.0)}
            return [logits.get(n, np.full(upper.shape, -3.0)).astype(np.float32) for n in ids]

    pipeline = load("vista3d", "pipeline")
    masks = {}
    for option in ("kept", "argmax", "everything"):
        options = choose_options(request, pipeline.OPTIONS) | {
            "overlaps": option,
            "clicks": "unused",
        }
        masks[option] = pipeline.predict(image, request, WithRival(), options)
    whole = masks["kept"].masks["liver"].sum()
    assert whole > 0
    # the spleen is no class of the request
    assert masks["argmax"].masks["liver"].sum() == whole
    assert 0.3 * whole < masks["everything"].masks["liver"].sum() < 0.7 * whole
    assert "117 classes" in masks["everything"].notes["competitors"]


@pytest.mark.parametrize("grid", [name for name in GRIDS if "oblique" not in name])
def test_reorientation_equals_that_of_simpleitk(grid):
    """nnU-Net's reader ``SimpleITKIOWithReorient`` turns axes to RAS by ITK's filter."""
    phantom = body(grid)
    image = SimpleITK.GetImageFromArray(np.transpose(phantom.image.array))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(phantom.image.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    expected = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, "RAS"))
    turned = canonical(voxel_grid_of(phantom.grid))
    values = sample(phantom.image.array, phantom.image.affine, turned, outside=None)
    assert np.allclose(np.transpose(values), expected, atol=1e-2)
