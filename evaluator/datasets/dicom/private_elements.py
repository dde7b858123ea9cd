"""Elements of a vendor's private blocks, also where de-identification removed the blocks' names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evaluator.datasets.dicom.reading import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PHILIPS, GE = "Philips PET Private Group", "GEMS_PETD_01"
#: creator of a block -> first word of Manufacturer (0008,0070), in capitals
VENDORS: Mapping[str, str] = {PHILIPS: "PHILIPS", GE: "GE"}
#: elements of the first block of a group
FIRST_BLOCK = 0x1000


def private_text(dataset: Any, group: int, creator: str, element: int) -> str:
    """An element of a vendor's block as text; empty if there is none.

    De-identification may remove the element that names a block's creator. The block is then the
    first one of its group, if the group names no creator at all and the scanner is the vendor's.

    Args:
        dataset: a header.
        group: of the block.
        creator: of the block, a key of ``VENDORS``.
        element: its number within the block.
    """
    try:
        if _lacks_creators(dataset, group) and _is_vendor(dataset, creator):
            value = dataset[group, FIRST_BLOCK | element].value
        else:
            value = dataset.private_block(group, creator)[element].value
    except Exception:  # a block that is absent or damaged
        return ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return str(value).strip("\0 ")


def private_number(dataset: Any, group: int, creator: str, element: int) -> float:
    """A number of a vendor's block; 0 if it is missing or no positive number."""
    try:
        number = float(private_text(dataset, group, creator, element))
    except ValueError:
        return 0.0
    return number if 0 < number < math.inf else 0.0


def _lacks_creators(dataset: Any, group: int) -> bool:
    return not any((group, element) in dataset for element in range(0x10, 0x100))


def _is_vendor(dataset: Any, creator: str) -> bool:
    maker = text_of(dataset, "Manufacturer").upper().split()
    return bool(maker) and maker[0] == VENDORS[creator]
