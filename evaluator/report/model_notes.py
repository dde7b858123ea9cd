"""A model's choices, as its replies report them in ``notes``.

Notes are free text of the model. Only values that are the same for every scan are shown. Values
that differ between scans (such as the position of a crop) stay in the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from evaluator.runs.records import ScanRecord

#: names that are reported for each target, or elsewhere on the page
_ELSEWHERE = ("targets", "options", "weights")
#: largest number of lines, and longest value in characters
MOST, LONGEST = 40, 120


def constant_notes(records: Iterable[ScanRecord]) -> list[str]:
    """Return notes that are the same for every scan.

    Returns:
        Lines such as ``crop=centred on the first foreground click``. They begin with the modality,
        as in ``CT: ...``, if modalities differ or not all of them have the note.
    """
    values: dict[str, dict[str, set[str]]] = {}
    modalities = set()
    for record in records:
        for entry in record.rounds:
            if entry.reply is None or not entry.reply.notes:
                continue
            modalities.add(record.modality)
            for name, value in _flat(entry.reply.notes):
                by_modality = values.setdefault(name, {})
                by_modality.setdefault(record.modality, set()).add(value)
    lines = []
    for name, by_modality in values.items():
        constant = {key: next(iter(texts)) for key, texts in by_modality.items() if len(texts) == 1}
        if len(constant) < len(by_modality):
            continue
        if set(constant) == modalities and len(set(constant.values())) == 1:
            lines.append(f"{name}={next(iter(constant.values()))}")
        else:
            lines += [f"{modality}: {name}={value}" for modality, value in sorted(constant.items())]
    return lines[:MOST]


def _flat(notes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield names and values, also of one nested level, except long or structured values."""
    for name, value in notes.items():
        if name in _ELSEWHERE:
            continue
        entries = value.items() if isinstance(value, dict) else ((None, value),)
        for key, content in entries:
            text = _text(content)
            if text is not None:
                yield name if key is None else f"{name}.{key}", text


def _text(content: object) -> str | None:
    items = content if isinstance(content, list) else [content]
    text = "+".join(map(str, items))
    is_plain = all(isinstance(item, str | int | float) for item in items)
    return text if items and is_plain and len(text) <= LONGEST else None
