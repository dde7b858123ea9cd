"""The model of ``bench_rounds``: loads for 3 s, answers in 0.2 s, and is as good as a good model is.

It was given the answers (``known.npz`` beside this file): each organ's mask, which it moves by a few voxels, and mends
about every click. So the evaluator has the work that it has with real models, and the model itself has none.
"""

import time
from pathlib import Path

import numpy as np

from zoo_sdk import Crop, each_target

LOAD, ANSWER = 3.0, 0.2
MOVED = (2, -3, 1)
MENDED = 4
#: what is kept about each organ, so that it can be moved
MARGIN = 4


class Adapter:
    """Sleeps for what is left of the times that it says it takes."""

    def setup(self):
        """Read the answers."""
        begun = time.perf_counter()
        self.known = {}
        with np.load(Path(__file__).with_name("known.npz")) as kept:
            for key in kept.files:
                name, shape, corner, size = key.split(";")
                sizes = tuple(map(int, size.split(",")))
                truth = np.unpackbits(kept[key])[: np.prod(sizes)].reshape(sizes).astype(bool)
                self.known.setdefault((name, shape), []).append(
                    (np.array(corner.split(","), int), truth)
                )
        _sleep(begun, LOAD)

    def predict(self, request):
        """Each organ's moved and mended mask."""
        begun = time.perf_counter()
        shape = ",".join(map(str, request.grid.shape))
        outcomes = each_target(request, lambda target: self.answer(target, shape))
        _sleep(begun, ANSWER)
        return outcomes

    def answer(self, target, shape):
        """The known mask whose corner is nearest to the box's, worse and mended."""
        low = np.array(target.box.low) - MARGIN
        corner, truth = min(
            self.known[target.name, shape], key=lambda one: np.abs(one[0] - low).sum()
        )
        mask = np.roll(truth, MOVED, (0, 1, 2))
        for point in target.points:
            at = np.array(point.index) - corner
            window = tuple(slice(max(i - MENDED, 0), max(i + MENDED + 1, 0)) for i in at)
            mask[window] = truth[window]
        # the margin may lie beyond the grid
        low, size = np.maximum(corner, 0), np.array(shape.split(","), int)
        part = tuple(slice(i - c, n - c) for i, c, n in np.column_stack((low, corner, size)))
        return Crop(mask[part], tuple(int(i) for i in low))


def _sleep(begun, seconds):
    time.sleep(max(0.0, seconds - (time.perf_counter() - begun)))


def remember(path, masks):
    """Write ``known.npz``: ``masks`` are (name, the evaluator's GridMask)."""
    kept = {}
    for name, mask in masks:
        truth = np.pad(mask.array, MARGIN)
        corner = ",".join(str(c - MARGIN) for c in mask.offset)
        key = ";".join(
            [name, ",".join(map(str, mask.grid.shape)), corner, ",".join(map(str, truth.shape))]
        )
        kept[key] = np.packbits(truth)
    np.savez(path, **kept)
