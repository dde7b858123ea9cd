"""The labels of a label map, found by comparing 64 bytes at once with the label before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.compilation import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = 8
"""Words of 64 bits that are compared at once."""


def present_labels(voxels: NDArray[Any], most: int) -> NDArray[Any]:
    """The values in a line of voxels, and 0.

    Args:
        voxels: (n,) integers or booleans, contiguous.
        most: the search ends when more values than this are found.

    Returns:
        Values of the same type, in no order.
    """
    if not voxels.flags.aligned:
        voxels = voxels.copy()
    bits = voxels.view(f"u{voxels.itemsize}")
    found: NDArray[np.uint64] = _present(bits, *_aligned_words(bits), most)
    values: NDArray[Any] = found.astype(bits.dtype).view(voxels.dtype)
    return values


def _aligned_words(bits: NDArray[Any]) -> tuple[NDArray[np.uint64], int]:
    """The voxels in words of 64 bits, and the number of voxels before the first word."""
    per_word = 8 // bits.itemsize
    before = min(-bits.__array_interface__["data"][0] % 8 // bits.itemsize, bits.size)
    words = (bits.size - before) // per_word
    return bits[before : before + words * per_word].view(np.uint64), before


@njit(cache=True, nogil=True)
def _present(bits: Any, words: Any, before: int, most: int) -> Any:
    """The values of ``bits`` and 0; ``words`` holds the same voxels from the one ``before``."""
    per_word = 8 // bits.itemsize
    seen = {np.uint64(0)}
    repeated, value = np.uint64(0), np.uint64(0)
    # a word that holds 1 in each voxel
    ones = np.uint64(0)
    for voxel in range(per_word):
        ones |= np.uint64(1) << np.uint64(8 * bits.itemsize * voxel)
    groups = words.size // WORDS
    end = before + groups * WORDS * per_word
    for i in range(before):
        seen.add(np.uint64(bits[i]))
    for i in range(end, bits.size):
        seen.add(np.uint64(bits[i]))
    for group in range(groups):
        differ = np.uint64(0)
        for word in range(group * WORDS, group * WORDS + WORDS):
            differ |= words[word] ^ repeated
        if differ != 0:
            first = before + group * WORDS * per_word
            for i in range(first, first + WORDS * per_word):
                if np.uint64(bits[i]) != value:
                    value = np.uint64(bits[i])
                    seen.add(value)
            repeated = value * ones
            if len(seen) > most:
                break
    return np.array(list(seen))
