"""The model of ``bench_rounds``: takes 3 s to load and 0.2 s to answer, with realistic masks.

It has the reference masks (``known.npz`` beside this file). It moves each organ's mask by a few
voxels and corrects it about every click. So the evaluator has as much work as with a real model,
and the model itself has none.
"""

import time
from pathlib import Path

import numpy as np

from zoo_sdk import Crop, each_target

LOAD, ANSWER = 3.0, 0.2
MOVED = (2, -3, 1)
CORRECTED = 4
#: voxels about each organ, so that it can be moved
MARGIN = 4


class Adapter:
    """Sleeps until the stated times have passed."""

    def setup(self):
        """Read the masks."""
        begun = time.perf_counter()
        self.masks = {}
        with np.load(Path(__file__).with_name("known.npz")) as arrays:
            for key in arrays.files:
                name, shape, corner, size = key.split(";")
                sizes = tuple(map(int, size.split(",")))
                truth = np.unpackbits(arrays[key])[: np.prod(sizes)].reshape(sizes).astype(bool)
                self.masks.setdefault((name, shape), []).append(
                    (np.array(corner.split(","), int), truth)
                )
        _sleep(begun, LOAD)

    def predict(self, request):
        """Each organ's moved and corrected mask."""
        begun = time.perf_counter()
        shape = ",".join(map(str, request.grid.shape))
        outcomes = each_target(request, lambda target: self.answer(target, shape))
        _sleep(begun, ANSWER)
        return outcomes

    def answer(self, target, shape):
        """The mask whose corner is nearest to the box's, moved and corrected."""
        low = np.array(target.box.low) - MARGIN
        corner, truth = min(
            self.masks[target.name, shape], key=lambda entry: np.abs(entry[0] - low).sum()
        )
        mask = np.roll(truth, MOVED, (0, 1, 2))
        for point in target.points:
            at = np.array(point.index) - corner
            window = tuple(slice(max(i - CORRECTED, 0), max(i + CORRECTED + 1, 0)) for i in at)
            mask[window] = truth[window]
        # the margin may lie beyond the grid
        low, size = np.maximum(corner, 0), np.array(shape.split(","), int)
        part = tuple(slice(i - c, n - c) for i, c, n in np.column_stack((low, corner, size)))
        return Crop(mask[part], tuple(int(i) for i in low))


def _sleep(begun, seconds):
    time.sleep(max(0.0, seconds - (time.perf_counter() - begun)))


def remember(path, masks):
    """Write ``known.npz``: ``masks`` are (name, the evaluator's GridMask)."""
    arrays = {}
    for name, mask in masks:
        truth = np.pad(mask.array, MARGIN)
        corner = ",".join(str(c - MARGIN) for c in mask.offset)
        key = ";".join(
            [name, ",".join(map(str, mask.grid.shape)), corner, ",".join(map(str, truth.shape))]
        )
        arrays[key] = np.packbits(truth)
    np.savez(path, **arrays)
