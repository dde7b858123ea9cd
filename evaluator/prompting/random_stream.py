"""Random numbers that are the same on every machine: SHA-256 of a key and a counter.

The numbers depend on the key alone, never on the order in which organs or cases are processed, the
number of threads, or the version of a library. (numpy states that the streams of its Generator may
change between versions, NEP 19.)
"""

from __future__ import annotations

import hashlib
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RandomStream:
    """A stream of uniform numbers for one key.

    Example: ``RandomStream(0, "subject-1", "liver", "points")``.
    """

    def __init__(self, *key: str | int) -> None:
        # lengths are written before the words, so ("ab", "c") and ("a", "bc") are two streams
        words = [str(word).encode() for word in key]
        self._key = b"".join(len(word).to_bytes(8, "big") + word for word in words)
        self._count = 0

    def fraction(self) -> float:
        """The next number, uniform in [0, 1), 53 bits."""
        digest = hashlib.sha256(self._count.to_bytes(8, "big") + self._key).digest()
        self._count += 1
        return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53

    def below(self, count: int) -> int:
        """A whole number, uniform in 0 .. count - 1 (to one part in 2^53 / count)."""
        return int(self.fraction() * count)

    def between(self, low: float, high: float) -> float:
        """A number, uniform in [low, high)."""
        return low + (high - low) * self.fraction()

    def direction(self) -> NDArray[np.float64]:
        """A unit vector, uniform on the sphere.

        It is a point of the cube that lies in the ball, scaled to length 1.
        """
        while True:
            x, y, z = (self.between(-1.0, 1.0) for _ in range(3))
            length = sqrt(x * x + y * y + z * z)
            if 1e-3 < length <= 1.0:
                return np.array([x, y, z]) / length

    def distinct(self, count: int, below: int) -> list[int]:
        """``count`` different whole numbers below ``below``, in random order.

        All numbers are returned if there are fewer.
        """
        chosen: dict[int, None] = {}
        while len(chosen) < min(count, below):
            chosen[self.below(below)] = None
        return list(chosen)
