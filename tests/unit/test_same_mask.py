"""Two mask files are compared by their voxels, since one content has several compressed forms."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np

from evaluator.evaluation.reproducibility_check import _same_mask
from evaluator.runs.mask_files import MaskFiles
from evaluator.runs.records import MaskFile
from evaluator.volumes import write_mask
from tests.tiny import GRIDS

NAME = "masks/a.a/CT/s0/r0/liver.nii.gz"


def stored(folder, mask, level=None):
    path = folder / NAME
    path.parent.mkdir(parents=True)
    write_mask(path, mask, GRIDS["MR"])
    if level is not None:
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), level, mtime=0))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return MaskFiles(folder), MaskFile(file=NAME, sha256=sha256, voxels=int(mask.sum()))


def test_masks_are_compared_by_their_voxels(tmp_path):
    mask = np.zeros(GRIDS["MR"].shape, np.uint8)
    mask[2:8, 1:9, 3:5] = 1
    moved = np.roll(mask, 1, axis=1)
    first = stored(tmp_path / "first", mask)
    recompressed = stored(tmp_path / "recompressed", mask, level=9)
    different = stored(tmp_path / "different", moved)
    assert recompressed[1].sha256 != first[1].sha256
    assert _same_mask(*first, *first)
    assert _same_mask(*first, *recompressed)
    assert not _same_mask(*first, *different)
    assert not _same_mask(*first, first[0], None)
    assert _same_mask(first[0], None, first[0], None)
