"""What a model is asked when it is checked: a bright lopsided, rippled ball on grids of every kind, with every kind of prompt.

The SDK's own questions (``zoo_sdk.check``: each modality, plain, flipped, oblique), all 48 orientations of one modality,
volumes of a voxel or a slice, a volume larger than a whole-body scan, and questions that cannot be answered.
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
from zoo_sdk.wire import Box, ImageFile, Point, Request, Target, dump_request

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.types import ModelCard
    from zoo_sdk.wire import Grid

TARGET = "liver"
#: no model knows it
STRANGE = "philtrum"
#: a ball of this radius (mm) in a box; voxels of the oriented volumes (mm), which are not cubes
RADIUS_MM = 24.0
#: where the bump's middle lies from the ball's, and its radius, in the ball's radii: alike along no two axes
BUMP, BUMP_RADIUS = (0.9, -0.6, 0.3), 0.5
SIDES_MM = (90.0, 120.0, 150.0)
STEPS_MM = (2.5, 3.0, 4.0)
HUGE = (512, 512, 400)
HUGE_MM = (0.98, 0.98, 2.0)
TINY = ((1, 1, 1), (2, 3, 1), (7, 1, 5))


def plain(folder: Path, card: ModelCard) -> list[Request]:
    """The SDK's questions that the card allows."""
    return [request for request in make_requests(folder) if tuple(request.images) in card.inputs]


def oriented(folder: Path, card: ModelCard) -> list[Request]:
    """One question of the world, on all 48 orientations of its grid: axes in every order and direction, all oblique."""
    made = []
    tilt, _ = np.linalg.qr(np.array([[1.0, 0.14, -0.1], [-0.12, 1.0, 0.09], [0.11, -0.08, 1.0]]))
    tilt *= np.sign(np.diag(tilt))
    for number, (order, signs) in enumerate(
        product(permutations(range(3)), product((1, -1), repeat=3))
    ):
        affine = np.eye(4)
        affine[:3, :3] = tilt[:, order] @ np.diag(np.array(signs) * np.array(STEPS_MM)[list(order)])
        # odd, so that the middle voxel is the same place however the axes run
        shape = tuple(int(SIDES_MM[axis] / STEPS_MM[axis]) // 2 * 2 + 1 for axis in order)
        affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
        made.append(
            _ask(
                folder,
                card,
                f"o{number:02d}",
                make_grid(shape, affine.astype(np.float32)),
                RADIUS_MM,
            )
        )
    return made


def tiny(folder: Path, card: ModelCard) -> list[Request]:
    """Volumes of one voxel, and one voxel thick."""
    return [
        _ask(folder, card, f"t{n}", make_grid(shape, np.diag([2, 2, 3, 1])), 3.0)
        for n, shape in enumerate(TINY)
    ]


def huge(folder: Path, card: ModelCard) -> Request:
    """A volume larger than a whole-body scan."""
    return _ask(folder, card, "huge", make_grid(HUGE, np.diag([*HUGE_MM, 1])), 60.0)


def without_prompt(folder: Path, request: Request) -> Request:
    """A target that can be answered, and one that nobody knows and for which there is no prompt."""
    return _write(
        folder,
        replace(request, id="strange", targets=(*request.targets, Target(name=STRANGE, text=None))),
    )


def _ask(folder: Path, card: ModelCard, name: str, grid: Grid, radius_mm: float) -> Request:
    """A ball at the grid's middle with a bump, in every image that the model takes at once: no turn or flip leaves it as it is."""
    middle = tuple(n // 2 for n in grid.shape)
    affine = np.array(grid.affine)
    centre = to_world(affine, np.array(middle))
    linear = affine[:3, :3]
    bump = np.linalg.solve(linear, np.multiply(BUMP, radius_mm))
    inside = _ball(grid.shape, linear, np.array(middle), radius_mm)
    inside |= _ball(grid.shape, linear, middle + bump, BUMP_RADIUS * radius_mm)
    array = np.where(inside, 100 + _ripple(grid.shape, linear, np.array(middle)), 10).astype(
        np.int16
    )
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
        name=TARGET, text=TARGET, points=(point,), box=Box(low=_triple(low), high=_triple(high))
    )
    return _write(
        folder, Request(id=name, case=name, round=0, images=images, grid=grid, targets=(target,))
    )


def _ball(
    shape: tuple[int, int, int], linear: np.ndarray, centre: np.ndarray, radius_mm: float
) -> np.ndarray:
    """Voxels within ``radius_mm`` of ``centre`` (in voxels), where ``linear`` takes voxels to millimetres."""
    metric = linear.T @ linear
    i, j, k = (axis - c for axis, c in zip(np.ogrid[tuple(map(slice, shape))], centre, strict=True))
    squared = metric[0, 0] * i**2 + metric[1, 1] * j**2 + metric[2, 2] * k**2
    squared = squared + 2 * (metric[0, 1] * i * j + metric[0, 2] * i * k + metric[1, 2] * j * k)
    return squared <= radius_mm**2  # type: ignore[no-any-return]


def _ripple(shape: tuple[int, int, int], linear: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Waves of 30 mm along one direction of the world, -10 to 10: there are models that scale by what is brightest."""
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
