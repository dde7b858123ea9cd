"""VISTA3D's way from an image and a class or clicks to masks, with the network given: pure functions of their arguments.

As the bundle NV-Segment-CT does it (NVIDIA-Medtech/NV-Segment-CTMR at c46f994,
``configs/inference.json`` and ``scripts/``): 1.5 mm from the first voxel on, the box of what is
above zero and ten voxels about it, intensities to 0..1, RAS+; a class through windows of 128 voxels
over all of it, a quarter overlapping, averaged; clicks in a window about each click, where what
lies outside is not known and counts as background; the nearest voxel back.

What differs, each by an option: PET and MR, for which upstream has no window of intensities, are
scaled by percentiles, as its CT and MR sister is (NV-Segment-CTMR); and ``large=sliding`` looks on
where a mask meets its window's face.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np
from labels import SPECIAL, numbers
from scipy import ndimage

from zoo_sdk import Prediction, Request, Seconds, Target, Unsupported, Volume, each_target
from zoo_sdk.recent import Recent
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    overlap,
    place_in,
    put_back,
    respaced_from_first,
    sample,
    window,
)
from zoo_transforms.sliding_window import Index, covering, cut, slide

SPACING = (1.5, 1.5, 1.5)
EDGE = 128
SHAPE = (EDGE, EDGE, EDGE)
#: the share of a window that the next one covers: MONAI's default. The bundle's file says 0.3,
#: which its inferer drops
OVERLAP = 0.25
MARGIN = 10
HU = (-963.8247715525971, 1053.678477684517)
PERCENTILES = (1, 99)
MOST_WINDOWS = 64

OPTIONS = {
    "intensity": ("auto", "as-published"),
    "clicks": ("alone", "with-class", "unused"),
    "large": ("window", "sliding"),
    "overlaps": ("kept", "argmax"),
}

#: a place between the voxels of a window, and its kind: 0 background, 1 foreground, 2 and 3 the
#: same of a special class
Click = Tuple[Tuple[float, float, float], int]


class Network(Protocol):
    """What the pipeline needs: VISTA3D's two branches on one window of 128 voxels."""

    def classes(self, patch: Volume, ids: Sequence[int]) -> Sequence[Any]:
        """The automatic branch: logits (128, 128, 128) for each class."""

    def clicks(self, patch: Volume, clicks: Sequence[Click], known: bool, before: Any) -> Any:
        """The interactive branch: logits (128, 128, 128), corrected only about the clicks where there are logits ``before``.

        ``known``: the object is of a class that was trained; else the zero-shot embedding is used.
        """


class Memory:
    """What requests about one image share: the prepared image, and classes' logits in half precision (120 MB each)."""

    def __init__(self) -> None:
        self.images, self.logits = Recent(2), Recent(40)


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
    classes = {name: told["classes"] for name, told in work.told.items()}
    notes = {
        "options": dict(options),
        "intensity": work.scale,
        "classes": classes,
        "targets": work.told,
    }
    return Prediction(masks, notes=notes, seconds=work.seconds)


def prepare(image: Volume, own: VoxelGrid, scale: str) -> Volume:
    """The image as the network sees it, float32 0..1. Raises Undefined for one with nothing above zero, or all alike."""
    lattice = canonical(respaced_from_first(own, SPACING))
    values = sample(image.array, image.affine, lattice, outside=None).astype(np.float32)
    found = box_of(values > 0)
    low = [max(own.start - MARGIN, 0) for own in found]
    values = values[tuple(slice(first, own.stop + MARGIN) for first, own in zip(low, found))]
    least, most = HU if scale == "HU window" else np.percentile(values, PERCENTILES)
    if not most > least:
        raise Undefined("nothing to scale by: percentiles 1 and 99 are equal")
    return Volume(
        np.clip((values - np.float32(least)) / np.float32(most - least), 0, 1),
        window(lattice, low, values.shape).affine,
    )


def window_about(click: Sequence[float], shape: Sequence[int]) -> Index:
    """First voxel of a click's window: the click in its middle, but within the volume, whose shape may be smaller."""
    start = []
    for place, size in zip(click, shape):
        before = max(EDGE - size, 0) // 2
        whole = max(size, EDGE)
        at = place + before
        first = (
            0 if at < EDGE // 2 else whole - EDGE if at + EDGE // 2 > whole else int(at) - EDGE // 2
        )
        start.append(first - before)
    return (start[0], start[1], start[2])


def in_window(clicks: Sequence[Click], start: Index) -> List[Click]:
    """The clicks that lie inside a window, by their places in it; one on its very border does not, as upstream has it."""
    moved = [((a - start[0], b - start[1], c - start[2]), kind) for (a, b, c), kind in clicks]
    return [(place, kind) for place, kind in moved if all(0 < n < EDGE for n in place)]


def connected(mask: Any, clicks: Sequence[Click]) -> Any:
    """The parts of a mask (26-connected) in which a foreground click lies."""
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    places = [tuple(round(n) for n in place) for place, kind in clicks if kind % 2]
    inside = [place for place in places if all(0 <= n < size for n, size in zip(place, mask.shape))]
    return np.isin(parts, [parts[place] for place in inside if parts[place]])


def _classes(target: Target) -> Tuple[int, ...]:
    """What the text means; the target's own name, which is no prompt, stands in only where there is no text."""
    return numbers(target.text or target.name)


class _Work:
    """One request: what its targets share is made once."""

    def __init__(
        self,
        image: Volume,
        request: Request,
        network: Network,
        options: Mapping[str, str],
        memory: Memory,
    ) -> None:
        self._image, self._request, self._network = image, request, network
        self._options, self._memory = options, memory
        ct = "CT" in request.images or options["intensity"] == "as-published"
        self.scale = "HU window" if ct else "percentiles 1 to 99"
        self.seconds, self.told = Seconds(), {}  # type: Seconds, Dict[str, Any]
        content = hashlib.blake2b(np.ascontiguousarray(image.array.T), digest_size=16)
        content.update(np.asarray(image.affine, dtype=np.float64).tobytes())
        self._key = (content.hexdigest(), self.scale)

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
            view = self._memory.images.get(self._key, self._prepare)
        told = self.told[target.name] = {"classes": list(ids)}
        with self.seconds.of("infer"):
            mask = (
                self._clicked(view, target, ids, told) if clicked else self._class_mask(view, ids)
            )
        with self.seconds.of("postprocess"):
            return put_back(mask, VoxelGrid(mask.shape, view.affine), self._request.grid)

    def _prepare(self) -> Volume:
        return prepare(
            self._image, VoxelGrid(self._image.array.shape, self._image.affine), self.scale
        )

    def _class_mask(self, view: Volume, ids: Sequence[int]) -> Any:
        """Voxels that any of the classes takes; with ``argmax``, from the other classes of the request as well."""
        logits = self._class_logits(view)
        most = np.max([logits[n] for n in ids], axis=0)
        mask = most > 0
        if self._options["overlaps"] == "argmax":
            # of equals the class that is asked for first goes before, as in numpy's and torch's
            # argmax
            order = list(logits)
            for other in set(order) - set(ids):
                first = order.index(other) < min(order.index(n) for n in ids)
                mask &= most > logits[other] if first else most >= logits[other]
        return mask

    def _class_logits(self, view: Volume) -> Dict[int, Any]:
        """Of all classes that the request asks for by class: what is not remembered is found in one go."""
        asked = [
            t for t in self._request.targets if not t.points or self._options["clicks"] != "alone"
        ]
        wanted = dict.fromkeys(n for target in asked for n in _classes(target))
        logits = self._memory.logits
        # taken out before anything is put in, which may drop them
        found = {n: logits.get((self._key, n), dict) for n in wanted if (self._key, n) in logits}
        lacking = [n for n in wanted if n not in found]
        for n, made in (self._through_windows(view, lacking) if lacking else {}).items():
            found[n] = logits.get((self._key, n), lambda made=made: made)
        return {n: found[n] for n in wanted}

    def _through_windows(self, view: Volume, ids: Sequence[int]) -> Dict[int, Any]:
        """Averages of the windows' logits, in half precision, which is that of upstream's on a graphics card."""
        shape, space = view.array.shape, VoxelGrid(view.array.shape, view.affine)
        total = {n: np.zeros(shape, dtype=np.float32) for n in ids}
        count = np.zeros(shape, dtype=np.float32)
        for start in covering(shape, SHAPE, OVERLAP):
            patch = Volume(
                cut(view.array, start, SHAPE, beyond=None), window(space, start, SHAPE).affine
            )
            here, part = overlap(start, SHAPE, shape)
            count[here] += 1
            for n, logits in zip(ids, self._network.classes(patch, ids)):
                total[n][here] += logits[part]
        return {n: (summed / count).astype(np.float16) for n, summed in total.items()}

    def _clicked(
        self, view: Volume, target: Target, ids: Sequence[int], told: Dict[str, Any]
    ) -> Any:
        """The mask from clicks: alone, or on top of the class's mask."""
        shape, space = view.array.shape, VoxelGrid(view.array.shape, view.affine)
        special = 2 if len(ids) == 1 and ids[0] in SPECIAL else 0
        clicks = [
            (place_in(space, point.ras_mm), special + point.foreground) for point in target.points
        ]
        before = None
        if ids and self._options["clicks"] == "with-class":
            logits = self._class_logits(view)
            before = np.max([logits[n] for n in ids], axis=0).astype(np.float32)
        first = [window_about(place, shape) for place, _ in clicks]
        told["embedding"] = "class" if ids else "zero-shot"
        told["windows"] = [list(start) for start in first]
        told["clicks_not_shown"] = sum(
            not in_window([click], start) for click, start in zip(clicks, first)
        )

        def look(start: Index, derived: Index | None) -> Any:
            shown = in_window(clicks, start)
            if derived is not None and not any(kind % 2 for _, kind in shown):
                shown = in_window([(derived, special + 1)], start) + shown
            if not shown:
                return None
            patch = Volume(
                cut(view.array, start, SHAPE, beyond=0.0), window(space, start, SHAPE).affine
            )
            own = None if before is None else cut(before, start, SHAPE, beyond=0.0)
            return self._network.clicks(patch, shown, bool(ids), own)

        if before is None and self._options["large"] == "sliding":
            slid = slide(
                first,
                lambda *where: None if (found := look(*where)) is None else found > 0,
                SHAPE,
                shape,
                MOST_WINDOWS,
            )
            told.update(looks=slid.looks, looks_left_out=slid.left_out)
            mask = slid.mask
        else:
            mask = stitched(first, look, shape, before) > 0
        return connected(mask, clicks) if ids and before is None else mask


def stitched(first: Sequence[Index], look: Any, shape: Any, before: Any) -> Any:
    """The sum of the windows' logits; elsewhere those ``before``, or none (-inf). Each window sees what the last has changed."""
    total = np.zeros(shape, dtype=np.float32)
    seen = np.zeros(shape, dtype=bool)
    for start in first:
        logits = look(start, None)
        if logits is None:
            continue
        here, part = overlap(start, SHAPE, shape)
        total[here] += logits[part]
        seen[here] = True
        if before is not None:
            before[here] = logits[part]
    return np.where(seen, total, -np.inf if before is None else before)
