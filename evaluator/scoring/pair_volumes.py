"""The two label maps of a pair, brought to one grid, and what a user should know about them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import (
    affine_of,
    describe,
    difference,
    displacement_note,
    plane_axes,
    spacing,
    to_index,
    to_world,
)
from evaluator.volumes import LabelFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid

    Labels = NDArray[np.integer[Any]]

MOST_AT_ONCE = 2**18
"""Voxels whose positions are in memory at the same time while a volume is resampled."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairVolumes:
    """Reference and prediction on the reference's grid."""

    #: three axes, or two where the volume is one voxel thick
    reference: Labels
    prediction: Labels
    grid: Grid
    #: the axes of the grid that the arrays have
    axes: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Millimetres along the arrays' axes."""
        steps = spacing(affine_of(self.grid))
        return tuple(steps[axis] for axis in self.axes)


def read_pair(
    reference_path: Path,
    prediction_path: Path | None,
    *,
    resample: bool,
    ignored: Sequence[int],
    threads: int = 1,
) -> PairVolumes:
    """Read the labels of both files on the reference's grid.

    The grids are compared before voxels are read.

    Args:
        reference_path: a file of the user.
        prediction_path: a file of unknown origin; None: the reference stands for it.
        resample: bring a prediction from another grid to the reference's by nearest neighbours.
        ignored: labels of the reference whose voxels are removed from both.
        threads: with more than one, both files are read at once.

    Raises:
        VolumeError: a file cannot be read, or the grids differ and ``resample`` is false.
    """
    reference_file = LabelFile(reference_path, untrusted=False)
    if prediction_path is None:
        reference, axes = as_plane(reference_file.read(), reference_file.grid)
        return PairVolumes(
            reference=reference, prediction=reference, grid=reference_file.grid, axes=axes
        )
    prediction_file = LabelFile(prediction_path, untrusted=True)
    mismatch = difference(reference_file.grid, prediction_file.grid)
    if mismatch and not resample:
        raise VolumeError(
            f"{prediction_path.name}: reference and prediction lie on different grids: {mismatch}. "
            + _without_position(reference_file, prediction_file)
            + "Resample the prediction, or allow it with --resample nearest"
        )
    grid, prediction_grid = reference_file.grid, prediction_file.grid
    reference, prediction = _read_both(reference_file, prediction_file, threads)
    del reference_file, prediction_file  # they hold the files' bytes
    note = displacement_note(grid, prediction_grid)
    warnings = [f"reference and prediction: {note}"] if note else []
    if mismatch:
        prediction = prediction.reshape(prediction_grid.shape, order="F")
        prediction, inside = resample_nearest(prediction, prediction_grid, grid)
        if not inside:
            warnings.append(
                "reference and prediction have no place in common: the prediction on "
                f"{describe(prediction_grid)}, the reference on {describe(grid)}"
            )
    reference, axes = as_plane(reference, grid)
    # one of them may be an image of two axes, the other a volume of one slice
    prediction = prediction.reshape(reference.shape, order="F")
    if ignored:
        reference, prediction = _without(reference, prediction, ignored)
    return PairVolumes(
        reference=reference,
        prediction=prediction,
        grid=grid,
        axes=axes,
        warnings=tuple(warnings),
    )


def _without_position(*files: LabelFile) -> str:
    """The sentences on files whose headers do not state their position."""
    sentences = [
        f"{file.path.name}: {file.header.no_position}; copy the header of its image. "
        for file in files
        if file.header.no_position
    ]
    return "".join(sentences)


def as_plane(labels: NDArray[Any], grid: Grid) -> tuple[NDArray[Any], tuple[int, ...]]:
    """A volume that is one voxel thick as a plane; other volumes as they are.

    A plane has a contour and an area. As a volume of one slice its two faces would be surface at
    distance 0 wherever two masks overlap, and would outweigh the contour.

    Args:
        labels: (i, j, k), or (i, j) of an image of two axes.
        grid: of the labels.

    Returns:
        The labels, and the axes of the grid that they have. If several axes have one voxel, the
        last is removed.
    """
    if labels.ndim == 2:
        return labels, (0, 1)
    axes = plane_axes(grid)
    if len(axes) == 3:
        return labels, axes
    return labels.reshape(tuple(grid.shape[axis] for axis in axes), order="F"), axes


def resample_nearest(labels: NDArray[Any], source: Grid, target: Grid) -> tuple[NDArray[Any], int]:
    """Labels on another grid: each voxel has the label of the nearest source voxel; 0 outside.

    Positions are computed for ``MOST_AT_ONCE`` voxels at a time, so the memory is that of the two
    volumes and some tens of megabytes, whatever their size.

    Returns:
        The labels, and how many voxels of the target lie inside of the source.
    """
    resampled = np.zeros(target.shape, dtype=labels.dtype, order="F")
    rows = max(1, MOST_AT_ONCE // target.shape[2])
    count = 0
    for i in range(target.shape[0]):
        for first in range(0, target.shape[1], rows):
            last = min(first + rows, target.shape[1])
            j, k = np.meshgrid(np.arange(first, last), np.arange(target.shape[2]), indexing="ij")
            index = np.stack([np.full_like(j, i), j, k], axis=-1)
            places = to_index(affine_of(source), to_world(affine_of(target), index))
            nearest = np.floor(places + 0.5).astype(np.int64)
            inside = ((nearest >= 0) & (nearest < source.shape)).all(axis=-1)
            resampled[i, first:last][inside] = labels[tuple(nearest[inside].T)]
            count += int(np.count_nonzero(inside))
    return resampled, count


def _read_both(file: LabelFile, other: LabelFile, threads: int) -> tuple[Labels, Labels]:
    if threads <= 1:
        return file.read(), other.read()
    with ThreadPoolExecutor(max_workers=1) as pool:
        reading = pool.submit(other.read)
        return file.read(), reading.result()


def _without(
    reference: Labels, prediction: Labels, ignored: Sequence[int]
) -> tuple[Labels, Labels]:
    """Both label maps with background where the reference has an ignored label."""
    scored = ~np.isin(reference, list(ignored))
    return reference * scored, prediction * scored
