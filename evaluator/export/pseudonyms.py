"""Pseudonyms of subjects and sessions, and valid BIDS labels."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def number_subjects(subjects: Iterable[str], salt: str) -> dict[str, str]:
    """Pseudonyms of subjects: S001, S002 and so on.

    The order is reproducible, but cannot be derived without the run's secret salt.
    """
    secret = hashlib.sha256(salt.encode()).digest()

    def secret_key(name: str) -> bytes:
        return hmac.digest(secret, name.encode(), "sha256")

    shuffled = sorted(map(str, subjects), key=secret_key)
    width = max(3, len(str(len(shuffled))))
    return {name: f"S{number:0{width}d}" for number, name in enumerate(shuffled, start=1)}


def number_sessions(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Pseudonyms of sessions: (subject, session) -> 1, 2 and so on within the subject.

    The order is that of the sessions' names, which may be dates.
    """
    numbers: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    for subject, session in sorted(set(pairs)):
        counts[subject] = counts.get(subject, 0) + 1
        numbers[subject, session] = str(counts[subject])
    return numbers


def bids_label(text: str) -> str:
    """The text as a BIDS label (letters and digits only); two texts can get the same label."""
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum()) or "x"


def bids_labels(names: Iterable[str]) -> dict[str, str]:
    """Unique BIDS labels of names; a label that is already taken gets a number."""
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        label, number = bids_label(name), 1
        while label.lower() in taken:
            number += 1
            label = f"{bids_label(name)}{number}"
        taken.add(label.lower())
        labels[name] = label
    return labels
