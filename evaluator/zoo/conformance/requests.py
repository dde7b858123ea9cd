"""Requests of the conformance tests: a bright asymmetric ball on many grids, with all prompts.

The requests of the SDK (``zoo_sdk.check``: each modality, axis-aligned, flipped, oblique), all 48
orientations of one modality, volumes of a voxel or a slice, a volume larger than a whole-body
scan, and a target that cannot be answered.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import make_grid, to_world
from evaluator.volumes import write_volume
from zoo_sdk.check import UNITS, make_requests
from zoo_sdk.wire import Box, BoxMm, ImageFile, Point, Request, Target, dump_request

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.types import ModelCard
    from zoo_sdk.wire import Grid

#: what a model is asked for that has it; another model is asked for one of its targets
USUAL_TARGET = "liver"
#: no model supports this target
UNKNOWN_TARGET = "philtrum"
#: radius of the ball in the oriented volumes; their edges and voxels (mm), which are not cubes
RADIUS_MM = 24.0
#: offset of the bump's centre from the ball's, and its radius, both in radii of the ball; the
#: offset differs for all axes
BUMP, BUMP_RADIUS = (0.9, -0.6, 0.3), 0.5
SIDES_MM = (90.0, 120.0, 150.0)
STEPS_MM = (2.5, 3.0, 4.0)
HUGE = (512, 512, 400)
HUGE_MM = (0.98, 0.98, 2.0)
TINY = ((1, 1, 1), (2, 3, 1), (7, 1, 5))


def target_of(card: ModelCard) -> str:
    """The target that the requests ask a model for: the liver, else its first in alphabetic order.

    Args:
        card: the model's card.
    """
    if card.targets is None or USUAL_TARGET in card.targets:
        return USUAL_TARGET
    return min(card.targets)


def sdk_requests(folder: Path, card: ModelCard) -> list[Request]:
    """The requests of the SDK with modalities that the card accepts, for one of its targets."""
    name = target_of(card)
    requests = []
    for request in make_requests(folder):
        if tuple(request.images) in card.inputs:
            targets = tuple(replace(target, name=name, text=name) for target in request.targets)
            requests.append(_write(folder, replace(request, targets=targets)))
    return requests


def oriented_requests(folder: Path, card: ModelCard) -> list[Request]:
    """One target on all 48 orientations of its grid.

    The axes have every order and direction, and all grids are oblique.
    """
    requests = []
    tilt, _ = np.linalg.qr(np.array([[1.0, 0.14, -0.1], [-0.12, 1.0, 0.09], [0.11, -0.08, 1.0]]))
    tilt *= np.sign(np.diag(tilt))
    for number, (order, signs) in enumerate(
        product(permutations(range(3)), product((1, -1), repeat=3))
    ):
        affine = np.eye(4)
        affine[:3, :3] = tilt[:, order] @ np.diag(np.array(signs) * np.array(STEPS_MM)[list(order)])
        # odd, so the middle voxel is the same point for every orientation
        shape = tuple(int(SIDES_MM[axis] / STEPS_MM[axis]) // 2 * 2 + 1 for axis in order)
        affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
        grid = make_grid(shape, affine.astype(np.float32))
        requests.append(_write_ball(folder, card, f"o{number:02d}", grid, RADIUS_MM))
    return requests


def tiny_requests(folder: Path, card: ModelCard) -> list[Request]:
    """Volumes of one voxel, and one voxel thick."""
    affine = np.diag([2, 2, 3, 1])
    return [
        _write_ball(folder, card, f"t{n}", make_grid(shape, affine), 3.0)
        for n, shape in enumerate(TINY)
    ]


def huge_request(folder: Path, card: ModelCard) -> Request:
    """A volume larger than a whole-body scan."""
    return _write_ball(folder, card, "huge", make_grid(HUGE, np.diag([*HUGE_MM, 1])), 60.0)


def request_without_prompt(folder: Path, request: Request) -> Request:
    """``request`` with a second target that no model supports and that has no prompt."""
    targets = (*request.targets, Target(name=UNKNOWN_TARGET, text=None))
    return _write(folder, replace(request, id="strange", targets=targets))


def _write_ball(folder: Path, card: ModelCard, name: str, grid: Grid, radius_mm: float) -> Request:
    """A ball with a bump at the middle of the grid, in every image of one request.

    The bump makes it asymmetric: every rotation or flip changes it.
    """
    middle = tuple(n // 2 for n in grid.shape)
    affine = np.array(grid.affine)
    centre = to_world(affine, np.array(middle))
    linear = affine[:3, :3]
    bump = np.linalg.solve(linear, np.multiply(BUMP, radius_mm))
    inside = _ball(grid.shape, linear, np.array(middle), radius_mm)
    inside |= _ball(grid.shape, linear, middle + bump, BUMP_RADIUS * radius_mm)
    ripple = _ripple(grid.shape, linear, np.array(middle))
    array = np.where(inside, 100 + ripple, 10).astype(np.int16)
    images: dict[str, ImageFile] = {}
    for modality in card.inputs[0]:
        path = folder / "images" / f"{name}-{modality}.nii.gz"
        write_volume(path, array, grid)
        images[modality] = ImageFile(path=f"images/{path.name}", unit=UNITS[modality])
    reach = np.ceil(np.linalg.norm(np.linalg.inv(linear), axis=1) * radius_mm).astype(int)
    low, high = (
        np.clip(np.array(middle) + sign * reach + (sign > 0), 0, grid.shape) for sign in (-1, 1)
    )
    point = Point(
        index=_triple(middle), ras_mm=(float(centre[0]), float(centre[1]), float(centre[2]))
    )
    target = Target(
        name=target_of(card),
        text=target_of(card),
        points=(point,),
        box=Box(low=_triple(low), high=_triple(high)),
        box_mm=_exact_box(affine, low, high) if card.box == "mm" else None,
    )
    return _write(
        folder, Request(id=name, case=name, round=0, images=images, grid=grid, targets=(target,))
    )


def _exact_box(affine: np.ndarray, low: np.ndarray, high: np.ndarray) -> BoxMm:
    """A half-open box of voxels in millimetres."""
    x, y, z = (float(value) for value in to_world(affine, (low + high - 1) / 2))
    half = (affine[:3, :3] * (high - low) / 2).T
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in half)
    return BoxMm(centre=(x, y, z), half_axes=(first, second, third))


def _ball(
    shape: tuple[int, int, int], linear: np.ndarray, centre: np.ndarray, radius_mm: float
) -> np.ndarray:
    """Voxels within ``radius_mm`` of ``centre``.

    Args:
        shape: voxels along i, j, k.
        linear: (3, 3) matrix from voxels to millimetres.
        centre: in voxels.
        radius_mm: the radius.
    """
    metric = linear.T @ linear
    i, j, k = (axis - c for axis, c in zip(np.ogrid[tuple(map(slice, shape))], centre, strict=True))
    squared = metric[0, 0] * i**2 + metric[1, 1] * j**2 + metric[2, 2] * k**2
    squared = squared + 2 * (metric[0, 1] * i * j + metric[0, 2] * i * k + metric[1, 2] * j * k)
    return squared <= radius_mm**2  # type: ignore[no-any-return]


def _ripple(shape: tuple[int, int, int], linear: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Waves of 30 mm along one direction of the world, -10 to 10.

    They are for models that scale intensities by the brightest voxels.
    """
    a, b, c = 2 * np.pi / 30 * np.array([0.6, 0.0, 0.8]) @ linear
    i, j, k = (
        axis - middle
        for axis, middle in zip(np.ogrid[tuple(map(slice, shape))], centre, strict=True)
    )
    waves = a * i + b * j + c * k
    return np.rint(10 * np.sin(waves, out=waves), out=waves)  # type: ignore[no-any-return]


def _triple(values: object) -> tuple[int, int, int]:
    a, b, c = (int(n) for n in values)  # type: ignore[attr-defined]
    return (a, b, c)


def _write(folder: Path, request: Request) -> Request:
    (folder / "requests" / f"{request.id}.json").write_text(
        json.dumps(dump_request(request)), encoding="utf-8"
    )
    return request
