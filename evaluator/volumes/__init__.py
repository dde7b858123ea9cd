"""Volumes on disk: read images and masks, write them canonically, validate untrusted files.

Arrays are always indexed as nibabel shows them, (i, j, k), and mostly lie in memory as in the file,
first index fastest.
"""

from evaluator.files import file_sha256
from evaluator.volumes.gzip_blocks import pack_mask
from evaluator.volumes.mask_validation import MaskValidator
from evaluator.volumes.reading import labels_of_nifti, read_grid, read_image, read_labels
from evaluator.volumes.volume_file import SUFFIXES, LabelFile
from evaluator.volumes.writing import stage_image, write_mask, write_volume

__all__ = [
    "SUFFIXES",
    "LabelFile",
    "MaskValidator",
    "file_sha256",
    "labels_of_nifti",
    "pack_mask",
    "read_grid",
    "read_image",
    "read_labels",
    "stage_image",
    "write_mask",
    "write_volume",
]
