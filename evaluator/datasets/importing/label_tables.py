"""Names of labels: nnU-Net's dataset.json, plain JSON, BIDS dseg.tsv, and Slicer's colour tables."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    LabelTable = dict[str, tuple[int, ...]]

BACKGROUND = ("background", "unknown", "clear label")


def read_label_table(path: Path) -> LabelTable:
    """The labels of a table: target -> values, without the background.

    Labels called "ignore" in a dataset.json are left out.

    Raises:
        ManifestError: the file is no table of labels; the message says what is read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            table = _from_json(json.loads(text))
        elif path.suffix == ".tsv":
            table = _from_tsv(text)
        else:
            table = _from_colours(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{path}: no table of labels ({error}). Read are nnU-Net's dataset.json, JSON such as "
            '{"liver": 5}, BIDS dseg.tsv with the columns index and name, and Slicer\'s colour '
            "tables with a number and a name in each line"
        ) from None
    if not table:
        raise ManifestError(f"{path}: the table has no label but the background")
    return table


def _from_json(body: Any) -> LabelTable:
    table: LabelTable = {}
    for key, value in body.get("labels", body).items():
        name, values = (value, key) if isinstance(value, str) else (key, value)
        numbers = values if isinstance(values, list) else [values]
        if any(isinstance(number, bool | float) for number in numbers):
            raise ValueError(f"{name}: a label is a whole number")
        _add(table, str(name), tuple(int(number) for number in numbers))
    return table


def _from_tsv(text: str) -> LabelTable:
    table: LabelTable = {}
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        _add(table, row["name"], (int(row["index"]),))
    return table


def _from_colours(text: str) -> LabelTable:
    table: LabelTable = {}
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        # ITK-SNAP writes the name last and in quotes, Slicer second
        name = line.split('"')[1] if line.count('"') >= 2 else words[1]
        _add(table, name, (int(words[0]),))
    return table


def _add(table: LabelTable, name: str, values: tuple[int, ...]) -> None:
    kept = tuple(value for value in values if value > 0)
    if not kept or name.lower() in (*BACKGROUND, "ignore"):
        return
    if name in table:
        raise ValueError(f"{name} is repeated")
    table[name] = kept
