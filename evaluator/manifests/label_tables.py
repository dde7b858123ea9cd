"""Tables of labels: names and the label values that make up each target."""

from __future__ import annotations

import csv
import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LARGEST_LABEL = 2**63 - 1
LONGEST_NAME = 200

IGNORE = "ignore"
"""nnU-Net's name for the label of voxels that count neither way."""

BACKGROUND = 0
#: names in tables of other programs that are no target
NO_TARGETS = ("background", "unknown", "clear label")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Targets, and the labels of voxels that are not scored."""

    #: name -> label values
    targets: dict[str, tuple[int, ...]]
    #: voxels of the reference with these labels are removed from reference and prediction
    ignored: tuple[int, ...] = ()
    #: what a user should know about the table
    notes: tuple[str, ...] = ()


def read_label_table(path: Path) -> LabelTable:
    """Names of labels from a file.

    Args:
        path: JSON ``{"liver": 5}``, ``{"5": "liver"}`` or nnU-Net's dataset.json, in which a target
            may have several labels (a region) and ``ignore`` names voxels that are not scored;
            BIDS ``dseg.tsv`` with the columns ``index`` and ``name``; or a colour table of Slicer
            or ITK-SNAP, with a number and a name in each line.

    Raises:
        ManifestError: the file is no such table, names a target twice, or names no label.
    """
    if path.suffix in (".tsv", ".ctbl", ".txt"):
        return _read_lines(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unique)
        return label_table(_table_in(content))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{path}: no table of labels: it is not JSON ({error}). Other tables: a .tsv file with "
            "the columns index and name; a colour table of Slicer or ITK-SNAP (.ctbl, .txt)"
        ) from None
    except ValueError as error:
        raise ManifestError(
            f'{path}: no table of labels such as {{"liver": 5}} or {{"5": "liver"}}: {error}'
        ) from None


def _table_in(content: Any) -> dict[str, Any]:
    """The table of a JSON file: its key ``labels``, else all of it."""
    table = content.get("labels", content) if isinstance(content, dict) else content
    if not isinstance(table, dict):
        raise ValueError(  # noqa: TRY004  (a slip in a file, as the others)
            f"it holds no names with numbers, but {json.dumps(table)[:60]}"
        )
    return table


def _read_lines(path: Path) -> LabelTable:
    """A table with one label in each line; names of the background are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        pairs = _from_tsv(text) if path.suffix == ".tsv" else _from_colours(text)
        kept = [pair for pair in pairs if pair[0].lower() not in NO_TARGETS]
        return label_table(_unique(kept))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ManifestError(
            f"{path}: no table of labels: {error}. A .tsv file has the columns index and name; a "
            "colour table has a number and a name in each line"
        ) from None


def _from_tsv(text: str) -> list[tuple[str, Any]]:
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return [(row["name"], int(row["index"])) for row in rows]


def _from_colours(text: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        # ITK-SNAP writes the name last and in quotes, Slicer second
        name = line.split('"')[1] if line.count('"') >= 2 else words[1]
        pairs.append((name, int(words[0])))
    return pairs


def label_table(table: Mapping[str, Any]) -> LabelTable:
    """A table of labels from names and numbers, in either direction.

    Raises:
        ValueError: a label is no whole number, a region contains the background, a name is empty or
            stands in the table in two forms, or no target is named.
    """
    targets = _targets_of(table)
    notes = list(_doubtful(targets))
    for name, values in list(targets.items()):
        if values == (BACKGROUND,):
            del targets[name]
            if name.lower() != "background":
                notes.append(f"{name}: label 0 is the background, so it is not scored")
        elif BACKGROUND in values:
            raise ValueError(f"{name} contains 0, the background")
    ignored = targets.pop(IGNORE, ())
    if not targets:
        raise ValueError("it names no target")
    if ignored:
        labels = ", ".join(map(str, ignored))
        notes.append(f"voxels with label {labels} ({IGNORE}) of the reference are not scored")
    return LabelTable(targets=targets, ignored=ignored, notes=tuple(notes))


def _targets_of(table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Target -> labels; the labels of a name that several numbers have make one target."""
    targets: dict[str, tuple[int, ...]] = {}
    forms: dict[str, tuple[str, bool]] = {}
    for key, value in table.items():
        by_number = isinstance(value, str) and not (value.isdecimal() and not key.isdecimal())
        form = (value if by_number else key, by_number)
        name = _name(form[0])
        if forms.setdefault(name, form) != form:
            raise ValueError(f"{name!r} stands in it twice")
        if by_number:
            targets[name] = (*targets.get(name, ()), _label(name, key))
        else:
            targets[name] = _labels(name, value)
    return targets


def _name(text: str) -> str:
    """A target's name in one Unicode form, without spaces around it."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ValueError("a target has an empty name")
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{name[:40]!r} is no name: a target has at most {LONGEST_NAME} printable characters"
        )
    return name


def _doubtful(targets: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Targets that are likely one organ: by their labels, or by their names but for capitals."""
    by_labels: dict[tuple[int, ...], str] = {}
    by_spelling: dict[str, str] = {}
    for name, labels in targets.items():
        same_labels = by_labels.setdefault(tuple(sorted(labels)), name)
        same_spelling = by_spelling.setdefault(name.casefold(), name)
        if same_labels != name:
            text = ", ".join(map(str, targets[same_labels]))
            yield f"{same_labels} and {name} have the same label: {text}"
        elif same_spelling != name:
            yield (
                f"{same_spelling} and {name} differ in capitals only; they are scored as two "
                "targets"
            )


def _labels(name: str, value: Any) -> tuple[int, ...]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ValueError(f"{name} has no label")
    return tuple(dict.fromkeys(_label(name, label) for label in values))


def _label(name: str, value: Any) -> int:
    """One label: a whole number, at least 0; ``1.0`` is valid, ``1.7`` and ``true`` are not."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise ValueError(f"{name}: {value!r} is not a whole number") from None
    if not _is_whole(value):
        raise ValueError(f"{name}: {json.dumps(value, default=str)} is not a whole number")
    if value < 0:
        raise ValueError(f"{name}: {value} is negative; labels are 1 or more")
    if value > LARGEST_LABEL:
        raise ValueError(f"{name}: {value} is too large; labels up to 2^63 - 1 are read")
    return int(value)


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in pairs:
        if name in names:
            raise ValueError(f"{name!r} stands in it twice")
        names[name] = value
    return names
