"""Tables of subjects: sex, scanner, age group, tracer or dose of each, a tab-separated file.

A table is optional. It is not part of the dataset's version: it divides results and changes none.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Subgroups = Mapping[str, Mapping[str, str]]

#: possible names of the first column; the second is that of BIDS
KEYS = ("subject", "participant_id")
COLUMN = r"^[A-Za-z][A-Za-z0-9_.-]*$"
#: texts that stand for no value, as in BIDS
NO_VALUE = ("", "n/a", "NA", "nan")


def subject_table_of(manifest: Path, name: str | None) -> Path | None:
    """The file of a dataset's table of subjects.

    Args:
        manifest: the manifest's file.
        name: as the manifest states it; None: ``<manifest>.subjects.tsv``, if it is there.

    Returns:
        None if there is no table.
    """
    if name is not None:
        return manifest.parent / name
    usual = manifest.with_name(f"{manifest.stem}.subjects.tsv")
    return usual if usual.is_file() else None


def read_subject_table(path: Path) -> dict[str, dict[str, str]]:
    """Read a table of subjects.

    Args:
        path: the file; its first line names the columns, one of them ``subject``.

    Returns:
        subject -> column -> value; an empty text where there is no value.

    Raises:
        ManifestError: the table is invalid; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text ({error})") from None
    header = [name.strip() for name in lines[0].split("\t")] if lines else []
    key = next((name for name in KEYS if name in header), None)
    if key is None:
        raise ManifestError(f"{path}: no column subject; columns are separated by tabs")
    if wrong := [name for name in header if not re.fullmatch(COLUMN, name)]:
        raise ManifestError(f"{path}: line 1: {wrong[0]!r} is no name of a column")
    if len(set(header)) < len(header):
        raise ManifestError(f"{path}: line 1: a column is repeated")
    table: dict[str, dict[str, str]] = {}
    for line, fields in enumerate(csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE), 2):
        if not any(fields):
            continue
        if len(fields) != len(header):
            raise ManifestError(
                f"{path}: line {line}: {len(fields)} fields where the header has {len(header)}"
            )
        row = dict(zip(header, (field.strip() for field in fields), strict=True))
        subject = row.pop(key)
        if key != "subject":
            subject = subject.removeprefix("sub-")
        if subject in table:
            raise ManifestError(f"{path}: line {line}: {subject} is repeated")
        table[subject] = {name: "" if text in NO_VALUE else text for name, text in row.items()}
    return table
