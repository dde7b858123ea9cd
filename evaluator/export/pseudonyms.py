"""What stands for subjects outside the lab."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def number_subjects(subjects: Iterable[str], salt: str) -> dict[str, str]:
    """Subject -> S001, S002 and so on, in an order that only the run's secret salt tells; the same each time."""
    secret = hashlib.sha256(salt.encode()).digest()
    shuffled = sorted(
        map(str, subjects), key=lambda name: hmac.digest(secret, name.encode(), "sha256")
    )
    width = max(3, len(str(len(shuffled))))
    return {name: f"S{number:0{width}d}" for number, name in enumerate(shuffled, start=1)}


def number_sessions(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(subject, session) -> 1, 2 and so on within the subject, in the order of the session_numbers' names, which may be dates."""
    numbers: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    for subject, session in sorted(set(pairs)):
        counts[subject] = counts.get(subject, 0) + 1
        numbers[subject, session] = str(counts[subject])
    return numbers


def bids_label(text: str) -> str:
    """The text as a BIDS label, which has letters and digits only; two texts may become one."""
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum()) or "x"


def bids_labels(names: Iterable[str]) -> dict[str, str]:
    """Each name's label, different for different names: what would be taken gets a number."""
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
