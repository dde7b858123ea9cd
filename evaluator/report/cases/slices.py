"""Snapshots of predictions: three planes with contours, and maximum-intensity projections.

Images are sampled in world millimetres, so oblique and anisotropic images keep their shape. Planes
are in radiological orientation: the patient's right is on the left, head or front is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from evaluator.imaging.geometry import spacing, to_world
from evaluator.report.cases.canvas import (
    PLANES,
    Plane,
    draw_prompts,
    label,
    layers,
    make_canvas,
    outline,
    png,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluator.types import Modality

    Matrix = NDArray[np.float64]
    Place = NDArray[np.float64]

#: window on each kind of image: black, white; MR's are percentiles of what is not air
CT_WINDOW, LUNG_WINDOW, PET_WINDOW = (-160.0, 240.0), (-1350.0, 150.0), (0.0, 10.0)
MR_PERCENTILES = (1.0, 99.0)
#: about what is shown, millimetres
MARGIN, LEAST = 35.0, 150.0
PIXELS = 300
#: of a projection's grid, millimetres
PROJECTION_STEP = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in memory for drawing."""

    modality: Modality
    array: NDArray[np.float32]
    affine: Matrix

    @property
    def inverted(self) -> bool:
        """PET is shown black on white."""
        return self.modality == "PT"

    @property
    def colours(self) -> str:
        """The name of matplotlib's colour map."""
        return "gray_r" if self.inverted else "gray"

    def window(self, target: str) -> tuple[float, float]:
        """Black and white of the display."""
        if self.modality == "PT":
            return PET_WINDOW
        if self.modality == "CT":
            return LUNG_WINDOW if "lung" in target else CT_WINDOW
        sample = self.array[::4, ::4, ::4]
        body = sample[sample > sample.mean() / 4] if sample.size else sample
        low, high = np.percentile(body, MR_PERCENTILES) if body.size else (0.0, 1.0)
        return float(low), float(max(high, low + 1e-6))


def three_planes(
    image: Image,
    target: str,
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
    *,
    points: Sequence[tuple[Place, bool]] = (),
    box: tuple[Place, Place] | None = None,
    warnings: Sequence[str] = (),
) -> bytes:
    """Draw the axial, coronal and sagittal plane through the first point or the deepest error.

    Args:
        image: The image.
        target: Name of the target; determines the window.
        reference: The reference on the grid of the image.
        prediction: The predicted mask on the grid of the image.
        points: World coordinates (mm) of each point, and whether it is foreground.
        box: Two corners in world coordinates (mm).
        warnings: Text to print on the snapshot.

    Returns:
        A PNG file.
    """
    masks = [mask for mask in (reference, prediction) if mask is not None and mask.any()]
    centre = _centre(image.affine, points, reference, prediction)
    low, high = _bounds(image.affine, masks, centre)
    window = image.window(target)
    drawing, axes = make_canvas(image.inverted, len(PLANES))
    for axis, plane in zip(axes, PLANES, strict=True):
        grid, extent = _grid(plane, image.affine, centre, low, high)
        axis.imshow(
            _sampled(image.array, grid, window[0]),
            cmap=image.colours,
            vmin=window[0],
            vmax=window[1],
            extent=extent,
            origin="lower",
            interpolation="bilinear",
        )
        _contours(axis, image, grid, extent, reference, prediction)
        draw_prompts(axis, plane, image.inverted, points, box)
        label(axis, plane, image.inverted, extent)
    return png(drawing, image.inverted, warnings)


def projection(
    image: Image,
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
    *,
    warnings: Sequence[str] = (),
) -> bytes:
    """Draw coronal and sagittal maximum-intensity projections with outlines of the masks (PNG)."""
    low, high = _corners(image.affine, [slice(0, n) for n in image.array.shape])
    step = max(PROJECTION_STEP, *spacing(image.affine))
    low, high = _at_least(low, high, 2 * step)
    volume = _resampled(image, low, high, step)
    window = image.window("")
    drawing, axes = make_canvas(image.inverted, 2)
    for axis, plane in zip(axes, PLANES[1:], strict=True):
        away = 1 if plane.across == 0 else 0
        extent = (low[plane.across], high[plane.across], low[plane.up], high[plane.up])
        axis.imshow(
            volume.max(axis=away).T,
            cmap=image.colours,
            vmin=window[0],
            vmax=window[1],
            extent=extent,
            origin="lower",
        )
        for mask, colour in layers(image.inverted, reference, prediction):
            outline(
                axis,
                _shadow(mask, image.affine, plane, low, step, volume.shape),
                extent,
                colour,
            )
        label(axis, plane, image.inverted, extent)
    return png(drawing, image.inverted, warnings)


def _at_least(low: Place, high: Place, least: float) -> tuple[Place, Place]:
    """A box that is widened about its centre where it is thinner than this, in mm.

    The corner voxels of a volume of one slice, row or voxel are at one place, and a picture without
    an extent cannot be drawn.
    """
    middle, half = (low + high) / 2, np.maximum(high - low, least) / 2
    return middle - half, middle + half


def _resampled(image: Image, low: Place, high: Place, step: float) -> NDArray[np.float32]:
    """The image's nearest voxels on a grid along the world's axes."""
    axes = [np.arange(low[n], high[n] + step / 2, step) for n in range(3)]
    inverse = np.linalg.inv(image.affine)
    index, inside = np.int64(0), np.bool_(True)
    for n, count in enumerate(image.array.shape):
        parts = [
            inverse[n, m] * axes[m].reshape([-1 if k == m else 1 for k in range(3)])
            for m in range(3)
        ]
        group = np.rint(parts[0] + parts[1] + parts[2] + inverse[n, 3]).astype(np.int64)
        inside = inside & (group >= 0) & (group < count)
        index = index * count + np.clip(group, 0, count - 1)
    volume: NDArray[np.float32] = np.where(
        inside, image.array.ravel()[index], np.float32(image.array.min())
    )
    return volume


def _shadow(
    mask: NDArray[Any],
    affine: Matrix,
    plane: Plane,
    low: Place,
    step: float,
    counts: tuple[int, ...],
) -> Matrix:
    """A mask's projection along the world's axis that the plane does not show."""
    flat = np.zeros((counts[plane.up], counts[plane.across]))
    placed = np.rint((to_world(affine, np.argwhere(mask)) - low) / step).astype(np.int64)
    flat[
        placed[:, plane.up].clip(0, counts[plane.up] - 1),
        placed[:, plane.across].clip(0, counts[plane.across] - 1),
    ] = 1
    closed: Matrix = scipy.ndimage.binary_closing(np.pad(flat, 1), np.ones((3, 3)))[
        1:-1, 1:-1
    ].astype(float)
    return closed


def _centre(
    affine: Matrix,
    points: Sequence[tuple[Place, bool]],
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
) -> Place:
    if points:
        return np.asarray(points[0][0], dtype=float)
    error = (
        reference.astype(bool)
        if prediction is None
        else reference.astype(bool) ^ prediction.astype(bool)
    )
    if not error.any():
        error = reference.astype(bool)
    if not error.any():
        return to_world(affine, (np.array(reference.shape) - 1) / 2)
    labels, count = scipy.ndimage.label(error)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel(), minlength=count + 1)[1:]))
    low = [int(np.flatnonzero(largest.any(axis=tuple({0, 1, 2} - {n})))[0]) for n in range(3)]
    crop = largest[scipy.ndimage.find_objects(largest.astype(np.int8))[0]]
    deepest = np.unravel_index(
        int(np.argmax(scipy.ndimage.distance_transform_edt(np.pad(crop, 1)))),
        tuple(n + 2 for n in crop.shape),
    )
    return to_world(affine, np.array(deepest) - 1 + low)


def _bounds(affine: Matrix, masks: Sequence[NDArray[Any]], centre: Place) -> tuple[Place, Place]:
    low, high = centre - LEAST / 2, centre + LEAST / 2
    for mask in masks:
        group = _corners(affine, scipy.ndimage.find_objects(mask.astype(np.int8))[0])
        low, high = np.minimum(low, group[0] - MARGIN), np.maximum(high, group[1] + MARGIN)
    return low, high


def _corners(affine: Matrix, box: Sequence[slice]) -> tuple[Place, Place]:
    """The world's box about a box of voxels."""
    ends = to_world(affine, np.array(list(product(*((part.start, part.stop - 1) for part in box)))))
    return ends.min(axis=0), ends.max(axis=0)


def _grid(
    plane: Plane, affine: Matrix, centre: Place, low: Place, high: Place
) -> tuple[Matrix, tuple[float, float, float, float]]:
    """Return the image indices (3, up, across) of a plane's pixels, and its extent in mm."""
    step = max(high[plane.across] - low[plane.across], high[plane.up] - low[plane.up]) / PIXELS
    across = np.arange(low[plane.across], high[plane.across] + step / 2, step)
    up = np.arange(low[plane.up], high[plane.up] + step / 2, step)
    inverse = np.linalg.inv(affine)
    fixed = next(iter({0, 1, 2} - {plane.across, plane.up}))
    start = inverse[:3, fixed] * centre[fixed] + inverse[:3, 3]
    index: Matrix = (
        start[:, None, None]
        + inverse[:3, plane.across, None, None] * across[None, None, :]
        + inverse[:3, plane.up, None, None] * up[None, :, None]
    )
    return index, (float(across[0]), float(across[-1]), float(up[0]), float(up[-1]))


def _sampled(array: NDArray[Any], index: Matrix, outside: float) -> Matrix:
    values: Matrix = scipy.ndimage.map_coordinates(
        array, index, order=1, mode="constant", cval=outside, output=np.float64
    )
    return values


def _contours(
    axis: Any,
    image: Image,
    grid: Matrix,
    extent: Any,
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
) -> None:
    for mask, colour in layers(image.inverted, reference, prediction):
        outline(axis, _sampled(mask.astype(np.float32), grid, 0.0), extent, colour)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels, by its header."""
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
