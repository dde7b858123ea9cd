"""VISTA3D's pipeline from an image and a class or clicks to masks.

Pure functions that take the network.

It follows the bundle NV-Segment-CT (NVIDIA-Medtech/NV-Segment-CTMR at c46f994,
``configs/inference.json`` and ``scripts/``): 1.5 mm from the first voxel on, the box of the voxels
above zero and ten voxels about it, intensities to 0..1, RAS+. A class is segmented in windows of
128 voxels over all of it, a quarter overlapping, averaged; clicks in a window about each click,
outside of which the mask is background. Masks come back by nearest voxel.

Two differences are options: PET and MR, for which upstream has no intensity window, are scaled by
percentiles, as in its model for CT and MR (NV-Segment-CTMR); and ``large=sliding`` follows an
object where its mask meets the window's face.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np
from class_masks import HU, HU_WINDOW, OF_THE_BOX, ClassMasks, Memory, prepare
from labels import EVERYTHING, SPECIAL, numbers
from scipy import ndimage

from zoo_sdk import Prediction, Request, Seconds, Target, Unsupported, Volume, each_target
from zoo_transforms.resampling import VoxelGrid, overlap, place_in, put_back, window
from zoo_transforms.sliding_window import Index, cut, slide

__all__ = ["HU", "Memory", "numbers", "predict", "prepare"]

EDGE = 128
SHAPE = (EDGE, EDGE, EDGE)
MOST_WINDOWS = 64

OPTIONS = {
    "intensity": ("auto", "as-published"),
    "clicks": ("alone", "with-class", "unused"),
    "large": ("window", "sliding"),
    "overlaps": ("kept", "argmax", "everything"),
}

#: what ``overlaps`` means, for the notes
COMPETITORS = {
    "kept": "none: each class by itself, as upstream answers one class",
    "argmax": "the classes of the request",
    "everything": "upstream's 117 classes of 'everything', as when no class is named",
}

#: a place between the voxels of a window, and its kind: 0 background, 1 foreground, 2 and 3 the
#: same of a special class
Click = Tuple[Tuple[float, float, float], int]


class Network(Protocol):
    """What the pipeline needs: VISTA3D's two branches on one window of 128 voxels."""

    def classes(self, patch: Volume, ids: Sequence[int]) -> Sequence[Any]:
        """The automatic branch: logits (128, 128, 128) for each class."""

    def clicks(self, patch: Volume, clicks: Sequence[Click], is_class: bool, before: Any) -> Any:
        """The interactive branch: logits (128, 128, 128).

        Args:
            patch: the window.
            clicks: of the window, oldest first.
            is_class: the object is of a trained class; else the zero-shot embedding is used.
            before: logits that are corrected about the clicks only, or None.
        """


def predict(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    memory: Memory | None = None,
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``."""
    work = _Work(image, request, network, options, memory or Memory())
    masks = each_target(request, work.segment)
    classes = {name: details["classes"] for name, details in work.notes.items()}
    notes = {
        "options": dict(options),
        "competitors": COMPETITORS[options["overlaps"]],
        "intensity": work.scale,
        "classes": classes,
        "targets": work.notes,
    }
    return Prediction(masks, notes=notes, seconds=work.seconds)


def window_about(click: Sequence[float], shape: Sequence[int]) -> Index:
    """First voxel of a click's window: centred on the click, but within the volume.

    The volume may be smaller than a window.
    """
    start = []
    for place, size in zip(click, shape):
        before = max(EDGE - size, 0) // 2
        length = max(size, EDGE)
        at = place + before
        if at < EDGE // 2:
            first = 0
        elif at + EDGE // 2 > length:
            first = length - EDGE
        else:
            first = int(at) - EDGE // 2
        start.append(first - before)
    return (start[0], start[1], start[2])


def in_window(clicks: Sequence[Click], start: Index) -> List[Click]:
    """The clicks inside a window, in its coordinates; as in upstream, its border is not inside."""
    moved = [((a - start[0], b - start[1], c - start[2]), kind) for (a, b, c), kind in clicks]
    return [(place, kind) for place, kind in moved if min(place) > 0 and max(place) < EDGE]


def connected(mask: Any, clicks: Sequence[Click]) -> Any:
    """The connected components (26 neighbours) of a mask in which a foreground click lies."""
    components, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    voxels = [tuple(map(round, place)) for place, kind in clicks if kind % 2]
    labels = [components[voxel] for voxel in voxels if _inside(voxel, mask.shape)]
    return np.isin(components, [label for label in labels if label])


def _inside(voxel: Sequence[int], shape: Sequence[int]) -> bool:
    return all(0 <= n < size for n, size in zip(voxel, shape))


def _classes(target: Target) -> Tuple[int, ...]:
    """The classes that the text means; the target's name, which is not a prompt, if it has none."""
    return numbers(target.text or target.name)


class _Work:
    """One request; what its targets share is computed once."""

    def __init__(
        self,
        image: Volume,
        request: Request,
        network: Network,
        options: Mapping[str, str],
        memory: Memory,
    ) -> None:
        self._request, self._network, self._options = request, network, options
        ct = "CT" in request.images or options["intensity"] == "as-published"
        self.scale = HU_WINDOW if ct else OF_THE_BOX
        self.seconds, self.notes = Seconds(), {}  # type: Seconds, Dict[str, Any]
        by_class = [t for t in request.targets if not t.points or options["clicks"] != "alone"]
        self._classes = ClassMasks(
            image,
            network,
            memory,
            scale=self.scale,
            edges=SHAPE,
            requested=chain.from_iterable(map(_classes, by_class)),
            everything=EVERYTHING,
        )

    def segment(self, target: Target) -> Any:
        """The mask of one target on the image's grid."""
        ids = _classes(target)
        clicked = bool(target.points) and self._options["clicks"] != "unused"
        with_class = bool(ids) and not (clicked and self._options["clicks"] == "alone")
        if not with_class and not (clicked and any(point.foreground for point in target.points)):
            return Unsupported(
                "needs a foreground click"
                if ids
                else "is none of VISTA3D's classes; needs a foreground click"
            )
        with self.seconds.of("preprocess"):
            view = self._classes.view()
        notes = self.notes[target.name] = {"classes": list(ids)}
        with self.seconds.of("infer"):
            mask = (
                self._clicked(view, target, ids, notes)
                if clicked
                else self._classes.mask(ids, self._options["overlaps"])
            )
        with self.seconds.of("postprocess"):
            return put_back(mask, VoxelGrid(mask.shape, view.affine), self._request.grid)

    def _clicked(
        self, view: Volume, target: Target, ids: Sequence[int], notes: Dict[str, Any]
    ) -> Any:
        """The mask from clicks: alone, or on top of the class's mask."""
        shape, grid = view.array.shape, VoxelGrid(view.array.shape, view.affine)
        special = 2 if len(ids) == 1 and ids[0] in SPECIAL else 0
        clicks = [
            (place_in(grid, point.ras_mm), special + point.foreground) for point in target.points
        ]
        before = None
        if ids and self._options["clicks"] == "with-class":
            logits = self._classes.logits()
            before = np.max([logits[n] for n in ids], axis=0).astype(np.float32)
        first = [window_about(place, shape) for place, _ in clicks]
        notes["embedding"] = "class" if ids else "zero-shot"
        notes["windows"] = [list(start) for start in first]
        notes["clicks_not_shown"] = sum(
            not in_window([click], start) for click, start in zip(clicks, first)
        )

        def look(start: Index, derived: Index | None) -> Any:
            shown = in_window(clicks, start)
            if derived is not None and not any(kind % 2 for _, kind in shown):
                shown = in_window([(derived, special + 1)], start) + shown
            if not shown:
                return None
            patch = Volume(
                cut(view.array, start, SHAPE, beyond=0.0), window(grid, start, SHAPE).affine
            )
            logits_before = None if before is None else cut(before, start, SHAPE, beyond=0.0)
            return self._network.clicks(patch, shown, bool(ids), logits_before)

        def look_for_mask(start: Index, derived: Index | None) -> Any:
            logits = look(start, derived)
            return None if logits is None else logits > 0

        if before is None and self._options["large"] == "sliding":
            slid = slide(first, look_for_mask, SHAPE, shape, MOST_WINDOWS)
            notes.update(looks=slid.looks, looks_left_out=slid.left_out)
            mask = slid.mask
        else:
            mask = stitched(first, look, shape, before) > 0
        return connected(mask, clicks) if ids and before is None else mask


def stitched(first: Sequence[Index], look: Any, shape: Any, before: Any) -> Any:
    """The sum of the windows' logits; elsewhere the logits ``before``, or -inf without them.

    ``before`` is changed: each window sees the changes of the last one.
    """
    total = np.zeros(shape, dtype=np.float32)
    seen = np.zeros(shape, dtype=bool)
    for start in first:
        logits = look(start, None)
        if logits is None:
            continue
        in_volume, in_window = overlap(start, SHAPE, shape)
        total[in_volume] += logits[in_window]
        seen[in_volume] = True
        if before is not None:
            before[in_volume] = logits[in_window]
    return np.where(seen, total, -np.inf if before is None else before)
