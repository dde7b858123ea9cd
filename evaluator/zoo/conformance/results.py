"""Results of conformance checks, and the comparison of masks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from evaluator.types import Failure, Status
from evaluator.volumes.quick_nibabel import apply_orientation, io_orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.containers.requests import StagedRequest

    Mask = NDArray[np.uint8] | Failure

#: characters of a failure's detail in a result
MAX_DETAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one check, and measurements by name (seconds, GiB, Dice)."""

    check: str
    ok: bool
    detail: str
    measured: dict[str, float] = field(default_factory=dict)


def summary(check: str, masks: dict[str, Mask], measured: dict[str, float] | None = None) -> Result:
    """Passes if no request failed and not all were refused as unsupported."""
    failed = {
        name: mask
        for name, mask in masks.items()
        if isinstance(mask, Failure) and mask.status != Status.UNSUPPORTED
    }
    refused = sum(isinstance(mask, Failure) for mask in masks.values()) - len(failed)
    failures = "; ".join(
        f"{name}: {failure.status} {failure.detail}"[:MAX_DETAIL]
        for name, failure in failed.items()
    )
    ok = not failed and refused < len(masks)
    detail = failures or f"{len(masks) - refused} masks, {refused} refused as unsupported"
    return Result(check=check, ok=ok, detail=detail, measured=measured or {})


def equality(check: str, a: dict[str, Mask], b: dict[str, Mask]) -> Result:
    """Passes if each mask of ``a`` equals the mask of the same request in ``b``.

    Failures of the same status are equal.
    """
    differing = [name for name in a if not _is_equal(a[name], b.get(name))]
    detail = f"differ: {', '.join(differing)}" if differing else f"{len(a)} equal"
    return Result(check=check, ok=not differing, detail=detail)


def _is_equal(a: Mask, b: Mask | None) -> bool:
    if isinstance(a, Failure) or isinstance(b, Failure) or b is None:
        return isinstance(a, Failure) and isinstance(b, Failure) and a.status == b.status
    return np.array_equal(a, b)


def agreement(masks: dict[str, Mask], oriented: list[StagedRequest]) -> Result:
    """Compare the masks of one target across orientations of one image, in world coordinates.

    The check fails if there are no masks to compare; their agreement is only reported.
    """
    reoriented = []
    for request in oriented:
        mask = masks[request.id]
        if isinstance(mask, Failure):
            continue
        # every mask with its axes towards Right, Anterior, Superior
        orientation = io_orientation(np.array(request.grid.affine))
        reoriented.append(apply_orientation(mask > 0, orientation))
    check = "masks across the 48 orientations, compared in world coordinates"
    if len(reoriented) < 2:
        return Result(check=check, ok=False, detail="fewer than two masks")
    if not any(mask.any() for mask in reoriented):
        return Result(
            check=check,
            ok=False,
            detail="all masks are empty, so orientations cannot be compared",
        )
    dice = [_dice(reoriented[0], mask) for mask in reoriented[1:]]
    measured = {
        "orientation_dice_lowest": round(min(dice), 4),
        "orientation_dice_median": round(median(dice), 4),
    }
    return Result(
        check=check, ok=True, detail=f"Dice {min(dice):.3f} to {max(dice):.3f}", measured=measured
    )


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
