"""The words in which a report speaks of modalities and scanners."""

from __future__ import annotations

#: DICOM's codes as physicians say them
SAID = {"CT": "CT", "MR": "MR", "PT": "PET"}
SCANNER = {"CT-PT": "PET/CT", "MR-PT": "PET/MR"}


def counted(n: int, word: str) -> str:
    """A number with its noun: "1 subject", "2 subjects"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
