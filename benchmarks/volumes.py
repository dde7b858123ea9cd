"""Pairs of label maps to time scorers on: synthetic bodies, bad predictions, and real scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator import paths
from evaluator.imaging.geometry import affine_of, spacing
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ORGANS = 13
SPACING = (1.5, 1.5, 2.0)

REAL = {
    "TotalSegmentator, 61 organs": (
        "03_totalsegmentator/example_seg_fast_force_split.nii.gz",
        None,
    ),
    "TotalSegmentator, 41 organs": (
        "03_totalsegmentator/example_seg.nii.gz",
        "03_totalsegmentator/example_seg_fast.nii.gz",
    ),
    "autoPET, 111 lesions": (
        "04_autopet_psma_wholebody_masks/reference.nii.gz",
        "04_autopet_psma_wholebody_masks/pred_nnunet_baseline.nii.gz",
    ),
    "IBSI sarcoma, MR": ("01_ibsi_sts_pet_ct_mr/STS_001/MR_T1_mask.nii.gz", None),
    "IBSI sarcoma, CT": ("01_ibsi_sts_pet_ct_mr/STS_001/CT_mask.nii.gz", None),
}


def make_pair(shape: Sequence[int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A synthetic reference and a prediction off by 1 to 2 voxels, in nibabel's memory order.

    Organs are wavy ellipsoids.
    """
    rng = np.random.default_rng(seed)
    pair = tuple(np.zeros(shape, dtype=np.uint8, order="F") for _ in range(2))
    for label in range(1, ORGANS + 1):
        centre = rng.uniform(0.25, 0.75, 3) * shape
        radii = rng.uniform(15, 60, 3) * np.array(shape) / 400
        for volume, phase in zip(pair, (0.0, 0.5), strict=True):
            off = rng.normal(0, 1.5, 3) if phase else np.zeros(3)
            draw_organ(
                volume,
                centre + off,
                radii * (rng.uniform(0.97, 1.03, 3) if phase else 1),
                phase,
                label,
            )
    return pair


def draw_organ(
    volume: NDArray[np.uint8], centre: Any, radii: Any, phase: float, label: int
) -> None:
    low = np.maximum(0, (centre - 1.3 * radii).astype(int))
    high = np.minimum(volume.shape, (centre + 1.3 * radii).astype(int) + 2)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    a, b, c = ((g - m) / r for g, m, r in zip(np.ogrid[box], centre, radii, strict=True))
    wave = np.sin(6 * a + phase + label) * np.cos(5 * b) * np.sin(7 * c)
    volume[box][a**2 + b**2 + c**2 + 0.15 * wave < 1] = label


def make_bad(prediction: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Predictions with errors that make a nearest search slow."""
    rng = np.random.default_rng(1)
    permuted = np.r_[0, rng.permutation(ORGANS) + 1].astype(np.uint8)[prediction]
    salt = prediction.copy(order="F")
    few = prediction.size // 1000
    salt[tuple(rng.integers(0, n, few) for n in salt.shape)] = rng.integers(0, ORGANS + 1, few)
    island = prediction.copy(order="F")
    island[:5, :5, :5] = 3
    return {
        "far island": island,
        "mirrored": np.asfortranarray(prediction[::-1]),
        "labels permuted": np.asfortranarray(permuted),
        "0.1 % salt": salt,
        "all foreground": np.ones_like(prediction),
        "empty": np.zeros_like(prediction),
    }


def make_noise(shape: Sequence[int]) -> NDArray[np.uint8]:
    """A random label in every voxel."""
    labels = np.random.default_rng(2).integers(0, ORGANS + 1, shape, dtype=np.uint8)
    return np.asfortranarray(labels)


def real_pairs() -> dict[str, tuple[Any, Any, tuple[float, ...]]]:
    """Real references and predictions.

    Where there is no prediction it is the reference, moved by two voxels.
    """
    pairs = {}
    for name, (ours, theirs) in REAL.items():
        reference, grid = read_labels(paths.shared_data() / ours)
        moved = theirs is None
        prediction = (
            np.roll(reference, (2, 1, 0), (0, 1, 2))
            if theirs is None
            else read_labels(paths.shared_data() / theirs)[0]
        )
        prediction = np.asfortranarray(prediction.astype(np.uint8))
        pairs[name + (" (moved)" if moved else "")] = (
            np.asfortranarray(reference.astype(np.uint8)), prediction, spacing(affine_of(grid)),
        )  # fmt: skip
    return pairs
