"""The peers, in a separate environment, and the pairs that all scorers score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from tests.conftest import skip_outside_ci
from tests.oracles.client import PYTHON, Peers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REAL = {
    "organs": ("03_totalsegmentator", "example_seg.nii.gz", "example_seg_fast.nii.gz"),
    "lesions": (
        "04_autopet_psma_wholebody_masks",
        "reference.nii.gz",
        "pred_nnunet_baseline.nii.gz",
    ),
    "spine": ("06_panoptica_spine_pred_ref", "semantic_ref.nii.gz", "semantic_pred.nii.gz"),
    "balls": ("08_meshmetrics_pair", "example_3d_ref_mask.nii.gz", "example_3d_pred_mask.nii.gz"),
}


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """The process of the peers; in CI their environment must exist."""
    if not PYTHON.exists():
        skip_outside_ci("the peers are not installed; make oracles")
    with Peers(tmp_path_factory.mktemp("peers")) as process:
        yield process


@pytest.fixture(scope="session", params=["synthetic", *REAL])
def pair(request: pytest.FixtureRequest, peers: Peers) -> Any:
    """A pair of label maps that the peers have loaded: labels that are in both, and its spacing."""
    name = request.param
    if name == "synthetic":
        reference, prediction, spacing = synthetic_pair()
    else:
        folder_of_scans: Path = request.getfixturevalue("shared_data")
        folder, *files = REAL[name]
        images = [nibabel.load(folder_of_scans / folder / file) for file in files]
        reference, prediction = (np.asanyarray(image.dataobj).astype(np.uint8) for image in images)
        spacing = [float(step) for step in images[0].header.get_zooms()[:3]]
    peers.load(name, reference, prediction)
    in_reference, in_prediction = (
        set(np.unique(map_).tolist()) for map_ in (reference, prediction)
    )
    labels = sorted((in_reference & in_prediction) - {0})
    most = {"organs": 12, "spine": 5}.get(name)
    return name, reference, prediction, labels[:most], spacing


def synthetic_pair() -> Any:
    """Eight labels from smooth to noisy, from alike to unrelated, on an anisotropic grid."""
    rng = np.random.default_rng(3)
    volumes = [np.zeros((64, 50, 40), dtype=np.uint8) for _ in range(2)]
    for label in range(1, 9):
        corner = [(label - 1 >> axis & 1) * n // 2 for axis, n in enumerate((64, 50, 40))]
        box = tuple(slice(c, c + n // 2) for c, n in zip(corner, (64, 50, 40), strict=True))
        smooth, change = (
            ndimage.gaussian_filter(rng.normal(size=(32, 25, 20)), 0.6 * label) for _ in range(2)
        )
        level = np.quantile(smooth, 0.8)
        volumes[0][box][smooth > level] = label
        volumes[1][box][smooth + 0.3 * change > level] = label
    return *volumes, [0.7, 1.1, 3.0]
