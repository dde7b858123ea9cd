"""Names of structures as targets, without what identifies a patient."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.reading import text_of
from evaluator.datasets.importing.found import dataset_name

if TYPE_CHECKING:
    from typing import Any

#: characters of a target
LONGEST_NAME = 64
#: as long a number may be a date or a patient's
LONG_NUMBER = re.compile(r"\d{6,}")
DATE = re.compile(
    r"(?<!\d)(\d{1,2}[^\da-z]\d{1,2}[^\da-z](19|20)\d\d|(19|20)\d\d[^\da-z]\d{1,2}[^\da-z]\d{1,2})"
    r"(?!\d)"
)
#: shorter words of a patient's name count as complete words of a structure's name only
LONG_WORD = 4


def target_name(name: str, dataset: Any, place: int) -> str:
    """The structure's name, unless it holds a word of the patient's name or number, or a date."""
    lower = name.lower()
    words = set(_words(lower))
    secrets: set[str] = set()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"):
        secrets |= {word for word in _words(text_of(dataset, keyword).lower()) if len(word) > 2}
    is_inside = any(word in lower for word in secrets if len(word) >= LONG_WORD)
    if words & secrets or is_inside or LONG_NUMBER.search(name) or DATE.search(lower):
        return f"structure-{place + 1}"
    return file_name(name)


def _words(text: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", text)


def file_name(name: str) -> str:
    """A structure's name as a target, short enough for the name of a file."""
    return dataset_name(name)[:LONGEST_NAME].rstrip("-_.")
