"""What a model told of its own choices in its replies' notes, as far as it told the same of every scan.

Notes are a model's free words. What differs from scan to scan is the scan's (where a crop lay) and stays in the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from evaluator.runs.records import ScanRecord

#: told of each target apart, or elsewhere on the page
_ELSEWHERE = ("targets", "options", "weights")
MOST, LONGEST = 40, 120


def told_choices(records: Iterable[ScanRecord]) -> list[str]:
    """Lines such as ``crop=centred on the first foreground click``; ``CT: ...`` where modalities differ or only some have it."""
    told: dict[str, dict[str, set[str]]] = {}
    modalities = set()
    for record in records:
        for entry in record.rounds:
            notes = entry.reply.notes if entry.reply else None
            if not notes:
                continue
            modalities.add(record.modality)
            for name, value in _flat(notes):
                told.setdefault(name, {}).setdefault(record.modality, set()).add(value)
    lines = []
    for name, found in told.items():
        steady = {
            modality: next(iter(values)) for modality, values in found.items() if len(values) == 1
        }
        if len(steady) < len(found):
            continue
        if set(steady) == modalities and len(set(steady.values())) == 1:
            lines.append(f"{name}={next(iter(steady.values()))}")
        else:
            lines += [f"{modality}: {name}={value}" for modality, value in sorted(steady.items())]
    return lines[:MOST]


def _flat(notes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Names and values, one level down at most; what is longer than a choice is none."""
    for name, value in notes.items():
        inner = value.items() if isinstance(value, dict) else ((None, value),)
        for own, one in inner if name not in _ELSEWHERE else ():
            parts = one if isinstance(one, list) else [one]
            text = "+".join(map(str, parts))
            if (
                parts
                and len(text) <= LONGEST
                and all(isinstance(part, str | int | float) for part in parts)
            ):
                yield name if own is None else f"{name}.{own}", text
