"""The phantom's anatomy: ellipsoids and tubes.

Coordinates are world millimetres (RAS+, origin in the middle of the trunk).
Sizes and positions are rounded values of an adult; those of each subject vary randomly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Vector = tuple[float, float, float]

#: the organs of UMD; label 1 is the first
ORGANS = (
    "liver", "kidney-left", "kidney-right", "brain", "heart", "spleen", "aorta", "lung", "colon",
    "bladder", "pancreas", "esophagus", "stomach",
)  # fmt: skip
#: other tissues, not in any reference, with labels after those of the organs
TISSUES = ("body", "muscle", "bone")


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Centre and half axes along the world's axes, mm."""

    centre: NDArray[np.float64]
    radii: NDArray[np.float64]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest corner."""
        return self.centre - self.radii, self.centre + self.radii

    def contains(
        self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """True for points (mm) inside of the ellipsoid; coordinates broadcast."""
        c, r = self.centre, self.radii
        inside: NDArray[np.bool_] = ((x - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2 + (
            (z - c[2]) / r[2]
        ) ** 2 <= 1
        return inside


@dataclass(frozen=True, slots=True)
class Tube:
    """All points within ``radius`` of a polyline; radius and points (n, 3) in mm."""

    points: NDArray[np.float64]
    radius: float

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest corner."""
        return self.points.min(axis=0) - self.radius, self.points.max(axis=0) + self.radius

    def contains(
        self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """True for points (mm) inside of the tube; coordinates broadcast."""
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=bool)
        for a, b in zip(self.points[:-1], self.points[1:], strict=True):
            d = b - a
            along = ((x - a[0]) * d[0] + (y - a[1]) * d[1] + (z - a[2]) * d[2]) / (d @ d)
            t = np.clip(along, 0, 1)
            squared_distance = (
                (x - a[0] - t * d[0]) ** 2 + (y - a[1] - t * d[1]) ** 2 + (z - a[2] - t * d[2]) ** 2
            )
            inside |= squared_distance <= self.radius**2
        return inside


Shape = Ellipsoid | Tube


def _e(centre: Vector, radii: Vector) -> Ellipsoid:
    return Ellipsoid(np.array(centre, dtype=float), np.array(radii, dtype=float))


def _t(radius: float, *points: Vector) -> Tube:
    return Tube(np.array(points, dtype=float), radius)


#: name -> shapes, drawn in this order: where two overlap, the later one is visible
ADULT: dict[str, tuple[Shape, ...]] = {
    "body": (
        _e((0, 0, 0), (175, 125, 330)),
        _e((0, 0, -120), (165, 115, 260)),
        _e((0, 5, 400), (82, 100, 125)),
        _t(58, (0, -5, 240), (0, 0, 340)),
        _t(78, (85, 0, -220), (90, 0, -410)),
        _t(78, (-85, 0, -220), (-90, 0, -410)),
    ),
    "muscle": (
        _t(50, (86, 0, -260), (90, 0, -400)),
        _t(50, (-86, 0, -260), (-90, 0, -400)),
        _e((0, -15, -20), (150, 88, 290)),
    ),
    "bone": (
        _t(17, (0, -68, -240), (0, -72, -60), (0, -66, 120), (0, -45, 250), (0, -20, 330)),
        _t(15, (86, 0, -260), (90, 0, -410)), _t(15, (-86, 0, -260), (-90, 0, -410)),
        _e((0, 8, 403), (73, 91, 90)),
    ),
    "lung": (_e((84, 0, 150), (56, 76, 112)), _e((-86, 0, 150), (51, 73, 110))),
    "liver": (_e((78, 8, 15), (78, 76, 72)), _e((15, 42, 28), (62, 36, 40))),
    "stomach": (_e((-66, 34, 18), (40, 34, 50)),),
    "spleen": (_e((-116, -42, 10), (27, 40, 48)),),
    "kidney-right": (_e((66, -52, -88), (28, 25, 52)),),
    "kidney-left": (_e((-66, -52, -74), (28, 25, 52)),),
    "colon": (
        _t(21, (98, 20, -195), (102, 18, -95), (88, 46, -92), (0, 66, -112), (-88, 46, -82),
           (-104, 8, -100), (-98, 8, -195), (-48, 0, -238), (-4, -34, -262)),
    ),
    "heart": (_e((-26, 36, 98), (48, 42, 55)),),
    "pancreas": (_t(13, (36, 12, -58), (0, 18, -48), (-42, 0, -36), (-82, -22, -26)),),
    "esophagus": (
        _t(10, (2, -14, 262), (8, -18, 195), (6, -20, 120), (-10, -8, 66), (-34, 12, 50)),
    ),
    "aorta": (
        _t(13, (4, 26, 128), (2, 16, 176), (-8, -8, 196), (-20, -36, 178), (-20, -44, 120),
           (-10, -42, 0), (-4, -38, -120)),
    ),
    "bladder": (_e((0, 30, -292), (38, 32, 32)),),
    "brain": (_e((0, 8, 403), (66, 82, 80)),),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One subject: the shapes of its organs, and a factor of uptake and signal for each tissue."""

    shapes: dict[str, tuple[Shape, ...]]
    tissue_factors: dict[str, float]


def random_body(rng: Generator) -> Body:
    """A random subject.

    Height and girth, then size and position of each organ, vary by some per cent and millimetres.
    """
    stature = rng.normal(1, [0.06, 0.06, 0.025]).clip(0.88, 1.12)
    shapes: dict[str, tuple[Shape, ...]] = {}
    for name, adult_shapes in ADULT.items():
        variability = 0.0 if name in TISSUES else 1.0
        size = 1 + variability * float(np.clip(rng.normal(0, 0.06), -0.12, 0.12))
        shift = variability * rng.normal(0, 3.0, 3).clip(-6, 6)
        shapes[name] = tuple(_vary(shape, stature, size, shift) for shape in adult_shapes)
    factors = {name: float(np.exp(rng.normal(0, 0.2))) for name in ADULT}
    return Body(shapes=shapes, tissue_factors=factors)


def _vary(
    shape: Shape, stature: NDArray[np.float64], size: float, shift: NDArray[np.float64]
) -> Shape:
    if isinstance(shape, Ellipsoid):
        return Ellipsoid(shape.centre * stature + shift, shape.radii * stature * size)
    return Tube(shape.points * stature + shift, shape.radius * float(stature[0]) * size)
