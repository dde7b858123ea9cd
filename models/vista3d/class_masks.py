"""The automatic branch of VISTA3D and of NV-Segment-CTMR: from an image to masks of classes.

Both bundles take these steps: 1.5 mm from the first voxel on, the box of the voxels above zero and
ten voxels about it, intensities to 0..1, RAS+, windows over all of it, a quarter overlapping,
logits averaged. Size of a window, scale and classes differ.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Iterable, List, Mapping, Protocol, Sequence, Tuple

import numpy as np

from zoo_sdk import Volume
from zoo_sdk.recent import Recent
from zoo_transforms.intensity import Undefined
from zoo_transforms.patches import box_of
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    overlap,
    respaced_from_first,
    sample,
    window,
)
from zoo_transforms.sliding_window import Index, covering, cut

SPACING = (1.5, 1.5, 1.5)
#: the share of a window that the next one covers: MONAI's default. The bundles' files say 0.3,
#: which their inferer drops
OVERLAP = 0.25
MARGIN = 10
HU = (-963.8247715525971, 1053.678477684517)
PERCENTILES = (1, 99)
#: what scales the intensities
HU_WINDOW, OF_THE_BOX = "HU window", "percentiles 1 to 99"
#: classes that are computed together for ``overlaps=everything``: 0.5 GB of sums for 350^3 voxels
GROUP = 6


class ClassNetwork(Protocol):
    """What a mask of a class needs."""

    def classes(self, patch: Volume, ids: Sequence[int]) -> Sequence[Any]:
        """The automatic branch on a window: logits of the window's shape for each class."""


class Memory:
    """The cache of requests: prepared images, class logits (half precision, 120 MB each)."""

    def __init__(self) -> None:
        self.images, self.logits, self.winners = Recent(2), Recent(40), Recent(1)


def prepare(image: Volume, image_grid: VoxelGrid, scale: str) -> Volume:
    """The image as the network sees it, float32 0..1.

    Raises Undefined for an image that is constant or has no voxel above zero.
    """
    network_grid = canonical(respaced_from_first(image_grid, SPACING))
    values = sample(image.array, image.affine, network_grid, outside=None).astype(np.float32)
    box = box_of(values > 0)
    low = [max(part.start - MARGIN, 0) for part in box]
    values = values[tuple(slice(first, part.stop + MARGIN) for first, part in zip(low, box))]
    least, most = HU if scale == HU_WINDOW else np.percentile(values, PERCENTILES)
    if not most > least:
        raise Undefined("nothing to scale by: percentiles 1 and 99 are equal")
    return Volume(
        np.clip((values - np.float32(least)) / np.float32(most - least), 0, 1),
        window(network_grid, low, values.shape).affine,
    )


class ClassMasks:
    """Masks of classes on one image; what targets and requests share is computed once."""

    def __init__(
        self,
        image: Volume,
        network: ClassNetwork,
        memory: Memory,
        *,
        scale: str,
        edges: Index,
        requested: Iterable[int],
        everything: Sequence[int],
    ) -> None:
        """Of one request.

        Args:
            image: the request's image.
            network: the network.
            memory: the cache of all requests.
            scale: ``HU_WINDOW`` or ``OF_THE_BOX``.
            edges: shape of a window.
            requested: the classes of all targets, which are computed together.
            everything: the classes that upstream computes when none is named.
        """
        self._image, self._network, self._memory = image, network, memory
        self._scale, self._edges, self._everything = scale, edges, everything
        self._requested = list(dict.fromkeys(requested))
        content = hashlib.blake2b(np.ascontiguousarray(image.array.T), digest_size=16)
        content.update(np.asarray(image.affine, dtype=np.float64).tobytes())
        self._key = (content.hexdigest(), scale)

    def view(self) -> Volume:
        """The image as the network sees it. Raises Undefined, see ``prepare``."""
        return self._memory.images.get(self._key, self._prepare)

    def _prepare(self) -> Volume:
        grid = VoxelGrid(self._image.array.shape, self._image.affine)
        return prepare(self._image, grid, self._scale)

    def mask(self, ids: Sequence[int], competitors: str) -> Any:
        """Voxels of any of the classes; with ``argmax``, those that no other class claims more."""
        if competitors == "everything":
            return self._mask_among_all(ids)
        logits = self.logits()
        most = np.max([logits[n] for n in ids], axis=0)
        mask = most > 0
        if competitors == "argmax":
            # of equal logits the class that is requested first wins, as in numpy's argmax
            order = list(logits)
            earliest = min(order.index(n) for n in ids)
            for rival in set(order) - set(ids):
                first = order.index(rival) < earliest
                mask &= most > logits[rival] if first else most >= logits[rival]
        return mask

    def _mask_among_all(self, ids: Sequence[int]) -> Any:
        """Voxels where a class of the target has the largest logit of all, above zero."""
        view = self.view()
        best, winners = self._memory.winners.get(self._key, lambda: self._winners(view))
        mask = np.isin(winners, ids) & (best > 0)
        others = [n for n in ids if n not in self._everything]
        for logits in self._through_windows(view, others).values() if others else ():
            mask |= (logits > 0) & (logits > best)
        return mask

    def _winners(self, view: Volume) -> Tuple[Any, Any]:
        """The largest logit of upstream's classes of "everything" at each voxel, and its class."""
        best = np.full(view.array.shape, -np.inf, dtype=np.float16)
        winners = np.zeros(view.array.shape, dtype=np.uint16)
        for first in range(0, len(self._everything), GROUP):
            group = self._everything[first : first + GROUP]
            for number, logits in self._through_windows(view, group).items():
                larger = logits > best
                best[larger] = logits[larger]
                winners[larger] = number
        return best, winners

    def logits(self) -> Dict[int, Any]:
        """Logits of all classes of the request; those that are not cached are computed together."""
        cache, key = self._memory.logits, self._key
        # taken out before anything is put in, which may drop them
        logits = {n: cache.get((key, n), dict) for n in self._requested if (key, n) in cache}
        missing = [n for n in self._requested if n not in logits]
        computed = self._through_windows(self.view(), missing) if missing else {}
        for n, average in computed.items():
            logits[n] = cache.get((key, n), lambda average=average: average)
        return {n: logits[n] for n in self._requested}

    def _through_windows(self, view: Volume, ids: Sequence[int]) -> Mapping[int, Any]:
        """Averages of the windows' logits, in half precision, as upstream computes on a GPU."""
        shape, grid = view.array.shape, VoxelGrid(view.array.shape, view.affine)
        total = {n: np.zeros(shape, dtype=np.float32) for n in ids}
        count = np.zeros(shape, dtype=np.float32)
        starts: List[Index] = covering(shape, self._edges, OVERLAP)
        for start in starts:
            patch = Volume(
                cut(view.array, start, self._edges, beyond=None),
                window(grid, start, self._edges).affine,
            )
            in_view, in_patch = overlap(start, self._edges, shape)
            count[in_view] += 1
            for n, logits in zip(ids, self._network.classes(patch, ids)):
                total[n][in_view] += logits[in_patch]
        return {n: (summed / count).astype(np.float16) for n, summed in total.items()}
