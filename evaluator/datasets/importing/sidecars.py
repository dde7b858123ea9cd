"""What the JSON file beside an image says of its unit, as BIDS and converters write it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evaluator.datasets.importing.found import LeftOut
from evaluator.volumes import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.datasets.importing.layout_files import LayoutFiles

#: units of PET that are no SUV, in small letters without spaces
NO_SUV = frozenset(
    {"bq/ml", "bqml", "bq/cc", "kbq/ml", "kbqml", "mbq/ml", "nci/ml", "uci/ml", "mci/ml"}
    | {"cnts", "counts", "cps", "propcps", "propcnts"}
)
#: a sidecar is small
MOST_BYTES = 2**20


def leave_out_activity(files: LayoutFiles) -> None:
    """Leave PET images out whose sidecar states a unit that is no SUV."""
    for image in list(files.images):
        unit = stated_unit(image.path) if image.modality == "PT" else ""
        if unit.lower().replace(" ", "") in NO_SUV:
            files.images.remove(image)
            reason = (
                f"its JSON file states Units {unit}; PET must be in SUV by body weight. Convert "
                "it, and correct or remove the JSON file"
            )
            files.left_out.append(LeftOut(path=image.path, reason=reason))


def stated_unit(image: Path) -> str:
    """``Units`` of the JSON file beside an image; empty if there is none that can be read."""
    suffix = next((end for end in SUFFIXES if image.name.lower().endswith(end)), "")
    sidecar = image.with_name(image.name[: len(image.name) - len(suffix)] + ".json")
    try:
        if not sidecar.is_file() or sidecar.stat().st_size > MOST_BYTES:
            return ""
        body = json.loads(sidecar.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    unit = body.get("Units") if isinstance(body, dict) else None
    return unit.strip() if isinstance(unit, str) else ""
