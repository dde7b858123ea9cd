"""SegVol's pipeline from an image and prompts to masks: pure functions that take the network.

It follows upstream's demonstration (BAAI-DCAI/SegVol at 5768c97, ``inference_demo.py``):
intensities standardised by the voxels brighter than the mean, axes turned to depth, height, width,
the box of all voxels above the smallest value; that box squeezed into one view of 32 x 256 x 256
(zoom out) and segmented; then, in the mask's box, windows of the same size at full resolution, half
overlapping, averaged (zoom in). Nothing is resampled to a spacing.

Upstream samples its prompts from the reference; here they are the request's. Four choices are
options: upstream names an orientation and does not apply it; its prompts reach the windows through
the squeezed view, where clicks are lost; the second step can be left out; and a text can name the
modality of the image.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np

from zoo_sdk import Box, Prediction, Request, Seconds, Target, Unsupported, Volume, each_target
from zoo_sdk.recent import Recent
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    overlap,
    put_back,
    reversed_axes,
    sample,
    voxel_of,
    window,
)
from zoo_transforms.sliding_window import Index, covering, cut

#: depth, height, width of every view
SHAPE = (32, 256, 256)
OVERLAP = 0.5
OUTLIERS = (0.05, 99.95)
#: templates for texts; as published, all texts get that of CT, the network's training data
TEMPLATES = {
    "CT": "A computerized tomography of a {}.",
    "MR": "A magnetic resonance imaging of a {}.",
    "PT": "A positron emission tomography of a {}.",
}
#: as published, a window gets one voxel of the clicks, and up to this many more
MORE_PLACES = 4

OPTIONS = {
    "orientation": ("ras", "as-stored"),
    "reflection": ("direct", "as-published"),
    "zoom": ("out-and-in", "out"),
    "template": ("as-published", "by-modality"),
}

#: a voxel of a view, and 1 foreground, 0 background, -1 no click
Click = Tuple[Sequence[int], int]
NO_CLICK: Click = ((-1, -1, -1), -1)
NO_BOX = (-1, -1, -1, -1, -1, -1)


@dataclass(frozen=True)
class Prompt:
    """The network's prompt for one view."""

    text: str | None = None
    clicks: Tuple[Click, ...] = ()
    #: first and last voxel, both inside
    box: Tuple[int, ...] | None = None
    template: str = TEMPLATES["CT"]


class Network(Protocol):
    """What the pipeline needs: SegVol on one view."""

    def embed(self, view: Volume) -> Any:
        """The view's embedding."""

    def decode(self, embedding: Any, prompt: Prompt) -> Any:
        """Logits (32, 256, 256)."""


class Memory:
    """The cache of requests: prepared images."""

    def __init__(self) -> None:
        self.images = Recent(2)


def predict(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    memory: Memory | None = None,
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    seconds, target_notes = Seconds(), {}  # type: Seconds, Dict[str, Any]
    content = hashlib.blake2b(np.ascontiguousarray(image.array.T), digest_size=16)
    content.update(np.asarray(image.affine, dtype=np.float64).tobytes())
    images = (memory or Memory()).images
    (modality,) = request.images
    template = TEMPLATES["CT" if options["template"] == "as-published" else modality]

    def segment(target: Target) -> Any:
        if not (target.text or target.box or target.points):
            return Unsupported("needs a text, a click or a box")
        with seconds.of("preprocess"):
            key = (content.hexdigest(), options["orientation"])
            volume = images.get(key, lambda: prepare(image, options["orientation"]))
        segmenter = _TargetSegmenter(volume, target, request, network, options, seconds, template)
        mask = segmenter.logits() > 0
        target_notes[target.name] = segmenter.notes
        with seconds.of("postprocess"):
            return put_back(mask, VoxelGrid(mask.shape, volume.affine), request.grid)

    masks = each_target(request, segment)
    return Prediction(
        masks,
        notes={"options": dict(options), "template": template, "targets": target_notes},
        seconds=seconds,
    )


def prepare(image: Volume, orientation: str) -> Volume:
    """The image from which views are cut, float32 0..1, axes depth, height, width.

    Raises Undefined for a constant image.
    """
    image_grid = VoxelGrid(image.array.shape, image.affine)
    network_grid = reversed_axes(canonical(image_grid) if orientation == "ras" else image_grid)
    values = sample(image.array, image.affine, network_grid, nearest=True).astype(np.float32)
    brighter = values[values > values.mean()]
    if not brighter.size:
        raise Undefined("nothing to standardise by: all voxels are equal")
    low, high = np.percentile(brighter, OUTLIERS)
    values = (np.clip(values, low, high) - brighter.mean()) / max(float(brighter.std()), 1e-8)
    values = values - values.min()
    values = np.asarray(values / max(float(values.max()), 1e-8), dtype=np.float32)
    box = box_of(values > 0)
    values = values[box]
    return Volume(values, window(network_grid, [part.start for part in box], values.shape).affine)


def squeezed(volume: Volume) -> Volume:
    """A volume in one view, by nearest voxel."""
    factor = np.array(volume.array.shape) / np.array(SHAPE)
    step = np.diag([*factor, 1.0])
    step[:3, 3] = (factor - 1) / 2
    return Volume(resized(volume.array, SHAPE, exact=True), volume.affine @ step)


def resized(array: Any, shape: Sequence[int], *, exact: bool) -> Any:
    """The array in another shape by nearest voxel.

    ``exact``: torch's ``nearest-exact``; else ``nearest``, which measures from voxels' corners.
    """
    indices = [source(size, new, exact=exact) for size, new in zip(array.shape, shape)]
    return array[np.ix_(*indices)]


def source(size: int, new: int, *, exact: bool) -> Any:
    """The voxel of ``size`` that each of ``new`` is taken from; in single precision as in torch."""
    factor = np.float32(size) / np.float32(new)
    middle = (
        (np.arange(new) + 0.5) * np.float64(factor)
        if exact
        else np.arange(new, dtype=np.float32) * factor
    )
    return np.minimum(np.floor(middle.astype(np.float32)).astype(int), size - 1)


def region(mask: Any) -> Tuple[slice, ...]:
    """The mask's box, grown to at least a view's size and cut at the volume's border."""
    slices = []
    for part, edge in zip(box_of(mask), SHAPE):
        grown = max(0, edge - (part.stop - part.start)) // 2
        slices.append(slice(max(0, part.start - grown), part.stop + grown))
    return tuple(slices)


def corners_of(mask: Any) -> Tuple[int, ...]:
    """First and last voxel of a mask along each axis; of an empty one, -1."""
    if not mask.any():
        return NO_BOX
    box = box_of(mask)
    return tuple(part.start for part in box) + tuple(part.stop - 1 for part in box)


class _TargetSegmenter:
    """One target on one image."""

    def __init__(
        self,
        volume: Volume,
        target: Target,
        request: Request,
        network: Network,
        options: Mapping[str, str],
        seconds: Seconds,
        template: str,
    ) -> None:
        self._template = template
        self._volume, self._text = volume, target.text
        self._network, self._seconds = network, seconds
        self._direct = options["reflection"] == "direct"
        self._zooms = options["zoom"] == "out-and-in"
        grid = VoxelGrid(volume.array.shape, volume.affine)
        self._clicks = [
            (_within(voxel_of(grid, p.ras_mm), grid.shape), int(p.foreground))
            for p in target.points
        ]
        self._box = None
        if target.box is not None:
            self._box = _box_in(grid, target.box, np.array(request.grid.affine))
        self.notes: Dict[str, Any] = {
            "text": target.text,
            "clicks": len(self._clicks),
            "box": self._box is not None,
        }

    def logits(self) -> Any:
        """The logits of the volume."""
        view = squeezed(self._volume)
        with self._seconds.of("infer"):
            self._squeezed = self._prompt_of_squeezed()
            coarse = self._network.decode(self._network.embed(view), self._squeezed)
        logits = np.array(resized(coarse, self._volume.array.shape, exact=False))
        mask = logits > 0
        self.notes["found"] = bool(mask.any())
        if self._zooms and mask.any():
            part = region(mask)
            with self._seconds.of("infer"):
                logits[part] = self._through_windows(part, mask[part])
        return logits

    def _prompt_of_squeezed(self) -> Prompt:
        shape = self._volume.array.shape
        clicks = []
        for voxel, kind in self._clicks:
            place = [int((n + 0.5) * new / size) for n, size, new in zip(voxel, shape, SHAPE)]
            clicks.append((tuple(place), kind))
        return Prompt(
            self._text,
            tuple(clicks),
            None if self._box is None else self._squeezed_box(),
            self._template,
        )

    def _squeezed_box(self) -> Tuple[int, ...]:
        """The squeezed view's voxels that come from the box; at least the one at its middle."""
        firsts, lasts = [], []
        for low, high, size, new in zip(
            self._box[:3], self._box[3:], self._volume.array.shape, SHAPE
        ):
            taken = source(size, new, exact=True)
            inside = np.flatnonzero((low <= taken) & (taken <= high))
            if not len(inside):
                inside = np.array([int(((low + high) / 2 + 0.5) * new / size)])
            firsts.append(int(inside[0]))
            lasts.append(int(inside[-1]))
        return (*firsts, *lasts)

    def _through_windows(self, part: Tuple[slice, ...], coarse: Any) -> Any:
        """Averages of the windows' logits in a region; ``coarse`` is the squeezed view's mask."""
        inner, shape = self._volume.array[part], coarse.shape
        volume_grid = VoxelGrid(self._volume.array.shape, self._volume.affine)
        grid = window(volume_grid, [side.start for side in part], shape)
        total, count = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        starts = covering(shape, SHAPE, OVERLAP)
        reflected = None if self._direct else self._reflected(part)
        self.notes["windows"] = len(starts)
        for start in starts:
            view = Volume(cut(inner, start, SHAPE, beyond=0.0), window(grid, start, SHAPE).affine)
            seen = corners_of(cut(coarse, start, SHAPE, beyond=False))
            if reflected is None:
                prompt = self._prompt_in(part, start, seen, alone=len(starts) == 1)
            else:
                prompt = self._reflected_prompt(reflected, start, seen, alone=len(starts) == 1)
            in_region, in_view = overlap(start, SHAPE, shape)
            total[in_region] += self._network.decode(self._network.embed(view), prompt)[in_view]
            count[in_region] += 1
        return total / count

    def _prompt_in(
        self, part: Tuple[slice, ...], start: Index, seen: Tuple[int, ...], *, alone: bool
    ) -> Prompt:
        """The user's clicks and box, in the coordinates of a window.

        As in upstream, clicks are accompanied by the box of what was ``seen`` there in the squeezed
        view, and if there are several windows that box replaces the user's box.
        """
        first = [side.start + n for side, n in zip(part, start)]
        moved = [(_minus(voxel, first), kind) for voxel, kind in self._clicks]
        clicks = tuple((voxel, kind) for voxel, kind in moved if _within(voxel, SHAPE) == voxel)
        if self._box is not None and alone:
            seen = tuple(
                min(max(n - low, 0), size - 1)
                for n, low, size in zip(self._box, (*first, *first), (*SHAPE, *SHAPE))
            )
        return self._prompt(clicks or (NO_CLICK,), seen)

    def _prompt(self, clicks: Tuple[Click, ...], box: Tuple[int, ...]) -> Prompt:
        if self._clicks:
            return Prompt(self._text, clicks, box, self._template)
        return Prompt(self._text, (), None if self._box is None else box, self._template)

    def _reflected(self, part: Tuple[slice, ...]) -> Any:
        """The squeezed view's clicks (else its box) as a mask of a region, resampled back."""
        mask = np.zeros(SHAPE, dtype=bool)
        for voxel, kind in self._squeezed.clicks:
            if kind == 1:
                mask[tuple(voxel)] = True
        if not self._squeezed.clicks and self._squeezed.box is not None:
            a, b, c, d, e, f = self._squeezed.box
            mask[a : d + 1, b : e + 1, c : f + 1] = True
        return resized(mask, self._volume.array.shape, exact=False)[part]

    def _reflected_prompt(
        self, reflected: Any, start: Index, seen: Tuple[int, ...], *, alone: bool
    ) -> Prompt:
        """As published: random voxels of the reflected clicks; of the box only in a single window.

        In a region smaller than a window, upstream takes indices of the region for indices of the
        window, and so does this.
        """
        in_region, _ = overlap(start, SHAPE, reflected.shape)
        places = np.argwhere(reflected[in_region])
        if not self._clicks:
            return self._prompt((), corners_of(reflected[in_region]) if alone else seen)
        clicks: List[Click] = [NO_CLICK]
        if len(places):
            rng = np.random.default_rng(0)
            taken = [
                int(rng.integers(len(places))),
                *rng.permutation(len(places))[:MORE_PLACES].tolist(),
            ]
            clicks = [(tuple(places[n].tolist()), 1) for n in taken]
            clicks += [NO_CLICK] * (1 + MORE_PLACES - len(clicks))
        return self._prompt(tuple(clicks), seen)


def _within(voxel: Sequence[int], shape: Sequence[int]) -> Tuple[int, ...]:
    return tuple(min(max(n, 0), size - 1) for n, size in zip(voxel, shape))


def _minus(voxel: Sequence[int], first: Sequence[int]) -> Tuple[int, ...]:
    return tuple(n - low for n, low in zip(voxel, first))


def _box_in(grid: VoxelGrid, box: Box, affine: Any) -> Tuple[int, ...]:
    """First and last voxel of the image's box on a grid with the same axes, cut to the grid."""
    last = [n - 1 for n in box.high]
    corners = [voxel_of(grid, (affine @ [*corner, 1.0])[:3]) for corner in (box.low, last)]
    inside = [_within(corner, grid.shape) for corner in corners]
    return tuple(map(min, *inside)) + tuple(map(max, *inside))
