"""How a NIfTI file stores its values: types and scalings that lose or change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.volumes.header_checks import NIFTI
from evaluator.volumes.quick_nibabel import HeaderDataError, ImageFileError, nibabel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.findings import Severity
    from evaluator.types import Modality

#: so many voxels with exactly the largest value were clipped to it
MOST_AT_LIMIT = 50
#: an image of so few different values was quantised
FEWEST_VALUES = 300
#: values of which different ones are counted
COUNTED = 500_000


def check_storage(path: Path, *, labels: bool) -> Iterator[tuple[Severity, str]]:
    """Findings about the datatype and the scaling in a NIfTI header.

    Args:
        path: a volume; other formats have no findings here.
        labels: the file holds labels, which need no scaling.
    """
    if not path.name.lower().endswith(NIFTI):
        return
    try:
        # nibabel.load takes the scaling out of the header; its raw fields are read here
        with nibabel.openers.Opener(str(path)) as file:
            header: Any = _header_class(path).from_fileobj(file, check=False)
        kind = header.get_data_dtype()
    except (ImageFileError, HeaderDataError, OSError, ValueError, EOFError):
        return
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or not np.isfinite(intercept):
        if slope == slope or intercept == intercept:  # both NaN is nibabel's way to say "none"
            yield "warning", f"scl_slope {slope:g}, scl_inter {intercept:g}: programs differ in it"
        return
    scaled = slope not in (0.0, 1.0) or (slope != 0 and intercept != 0)
    if labels and scaled:
        yield (
            "warning",
            (
                f"{path.name} holds labels with a scaling (slope {slope:g}, intercept "
                f"{intercept:g}); "
                "programs that read stored values see other labels"
            ),
        )
    if not labels and slope == 0 and intercept != 0:
        yield (
            "warning",
            (
                f"scl_slope is 0 and scl_inter {intercept:g}: by the NIfTI standard there is no "
                "scaling, and some programs add the intercept"
            ),
        )
    if not labels and kind.itemsize == 1:
        yield "warning", f"the image is stored in 8 bits ({kind.name}), in at most 256 values"


def check_limits(image: NDArray[np.float32], modality: Modality) -> Iterator[tuple[Severity, str]]:
    """Findings about values that were clipped or quantised.

    Args:
        image: (i, j, k), finite.
        modality: of the image.
    """
    high = image.max()
    at_limit = int(np.count_nonzero(image == high))
    if modality == "PT" and at_limit > MOST_AT_LIMIT:
        yield (
            "warning",
            (
                f"{at_limit} voxels have exactly the largest value {float(high):.5g}: values "
                "above it "
                "were clipped, so maxima and uptake are too small"
            ),
        )
    if modality != "PT":
        return
    flat = image.ravel(order="K")
    flat = flat[flat > 0]
    flat = flat[:: max(flat.size // COUNTED, 1)]
    if flat.size > 10 * FEWEST_VALUES:
        different = len(np.unique(flat))
        if different < FEWEST_VALUES:
            yield "warning", f"PET has only {different} different values above 0: it was quantised"


def _header_class(path: Path) -> Any:
    with nibabel.openers.Opener(str(path)) as file:
        size = int.from_bytes(file.read(4), "little")
    return nibabel.Nifti2Header if size in (540, 0x1C020000) else nibabel.Nifti1Header
