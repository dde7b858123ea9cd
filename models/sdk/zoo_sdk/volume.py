"""An image in memory, a cropped mask, and how a voxel grid lies in the world.

numpy is imported when an array is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Tuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zoo_sdk.wire import Grid


@dataclass(frozen=True)
class Volume:
    """An image.

    Attributes:
        array: float32, (i, j, k).
        affine: (4, 4), from index to RAS+ mm.
        unit: of the values: HU, SUVbw or a.u. (arbitrary).
        stores_integers: the file stores integers and does not scale them.
    """

    array: Any
    affine: Any
    unit: str = "a.u."
    stores_integers: bool = False

    @property
    def spacing(self) -> Tuple[float, float, float]:
        """Distance between neighbouring voxels along each index axis, mm."""
        return spacing(self.affine)


@dataclass(frozen=True)
class Crop:
    """A mask as the part of the grid that holds it.

    Return this instead of an array of the grid's size if the model works on a part of the grid: a
    whole-body mask is then written several times faster.

    Attributes:
        array: bool, or 0 and 1.
        corner: index of the array's first voxel on the grid.
    """

    array: Any
    corner: Tuple[int, int, int]


def affine_of(grid: Grid) -> NDArray[np.float64]:
    """The grid's affine as a (4, 4) array, voxel index -> RAS+ mm."""
    import numpy as np

    return np.asarray(grid.affine, dtype=np.float64)


def spacing(affine: Any) -> Tuple[float, float, float]:
    """Distance between neighbouring voxels along each index axis, mm."""
    import numpy as np

    a, b, c = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    return (float(a), float(b), float(c))


def same_grid(volume: Volume, grid: Grid, tolerance_mm: float = 1e-3) -> bool:
    """Whether the volume lies on the grid: equal shapes, affines equal within the tolerance."""
    import numpy as np

    return volume.array.shape == tuple(grid.shape) and bool(
        np.allclose(volume.affine, affine_of(grid), rtol=0, atol=tolerance_mm)
    )
