"""Case lists: which image and which reference belong to whom. A tab-separated file with one row a reference.

Every fault is told with its line and column, all of them at once, so that a list is mended in one go.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluator.errors import ManifestError
from evaluator.types import Modality, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    LabelTables = Mapping[str, Mapping[str, tuple[int, ...]]]

REQUIRED = ("subject", "session", "modality", "image", "reference", "unit", "labels")
OPTIONAL = ("split", "sha256", "reference_sha256")

#: the one unit in which each modality is measured here; models are told it and scores of thresholds depend on it
UNITS: dict[Modality, Unit] = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_MOST_FAULTS = 20


def _no_upward(path: str) -> str:
    if "\\" in path or ".." in path.split("/"):
        raise ValueError("a path has '/' between its parts and no '..'")
    return path


Name = Annotated[str, Field(pattern=_NAME)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_no_upward)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MaybeSha256 = Annotated[Sha256 | None, BeforeValidator(lambda value: value or None)]


class Row(BaseModel):
    """One row: a reference and the image it belongs to; paths are relative to the dataset's root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: int
    subject: Name
    session: Name
    modality: Modality
    image: FilePath
    reference: FilePath
    unit: Literal["HU", "SUVbw", "a.u."]
    #: target -> label values
    labels: dict[Name, tuple[Annotated[int, Field(ge=1)], ...]] = Field(min_length=1)
    split: Name = "test"
    sha256: MaybeSha256 = None
    reference_sha256: MaybeSha256 = None

    @property
    def case(self) -> str:
        """The case's name, as ``evaluator.types.Case.id``."""
        return f"{self.subject}.{self.session}"


def read_case_list(path: Path, tables: LabelTables) -> tuple[Row, ...]:
    """Rows of the list, in file order; ``tables`` are the manifest's, named in the labels column as ``@name``.

    Raises ManifestError that names the file and, for each fault, line and column.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); it lists the cases of the dataset"
        ) from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text ({error})") from None
    faults: list[str] = []
    rows = _parse(lines, tables, faults)
    if not faults:
        faults = _faults_between(rows)
    if faults:
        shown = faults[:_MOST_FAULTS] + (
            [f"... and {len(faults) - _MOST_FAULTS} more"] * (len(faults) > _MOST_FAULTS)
        )
        raise ManifestError("\n  ".join([f"{path}:", *shown]))
    return tuple(rows)


def _parse(lines: list[str], tables: LabelTables, faults: list[str]) -> list[Row]:
    header = lines[0].split("\t") if lines else []
    # lists of before version 0.1 called the session "pair"
    header = ["session" if name == "pair" else name for name in header]
    if missing := [name for name in REQUIRED if name not in header]:
        faults.append(f"line 1: column {', '.join(missing)} missing; columns are divided by tabs")
    if unknown := [name or "(no name)" for name in header if name not in (*REQUIRED, *OPTIONAL)]:
        faults.append(f"line 1: unknown column {', '.join(unknown)}")
    if len(set(header)) < len(header):
        faults.append("line 1: a column stands twice")
    if faults:
        return []
    rows = []
    for line, fields in enumerate(csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE), 2):
        if not any(fields) or fields[0].startswith("#"):
            continue
        if len(fields) != len(header):
            faults.append(f"line {line}: {len(fields)} fields where the header has {len(header)}")
            continue
        row = _row(line, dict(zip(header, fields, strict=True)), tables, faults)
        rows += [row] if row else []
    if not rows and not faults:
        faults.append("no cases: there is a header and nothing below it")
    return rows


def _row(line: int, fields: dict[str, str], tables: LabelTables, faults: list[str]) -> Row | None:
    values: dict[str, Any] = {
        name: value.strip() for name, value in fields.items() if value.strip()
    }
    if "reference" in values and "image" not in values:
        faults.append(f"line {line}, column image: a reference without an image")
        return None
    try:
        values["labels"] = parse_labels(values.get("labels", ""), tables)
        row = Row.model_validate({**values, "line": line})
    except ValidationError as error:
        faults += [
            f"line {line}, column {fault['loc'][0]}: {_say(fault, fields)}"
            for fault in error.errors()
        ]
        return None
    except ValueError as error:
        faults.append(f"line {line}, column labels: {error}")
        return None
    if row.unit != UNITS[row.modality]:
        wanted = UNITS[row.modality]
        faults.append(
            f"line {line}, column unit: {row.modality} must be in {wanted}, not {row.unit}; convert the image"
        )
    return row


def _say(fault: Any, fields: Mapping[str, str]) -> str:
    given = fields.get(str(fault["loc"][0]), "")
    return f"{given!r}: {fault['msg']}" if given else "empty; a value is needed"


def parse_labels(text: str, tables: LabelTables) -> dict[str, tuple[int, ...]]:
    """``liver=5;lung=10,11`` or ``@table`` as target -> label values. Raises ValueError saying what is wrong."""
    if text.startswith("@"):
        if text[1:] not in tables:
            raise ValueError(
                f"the manifest has no table [labels.{text[1:]}]; it has {', '.join(tables) or 'none'}"
            )
        return dict(tables[text[1:]])
    labels: dict[str, tuple[int, ...]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        match = re.fullmatch(r"([^=]+)=(\d+(?:,\d+)*)", part.replace(" ", ""))
        if not match:
            raise ValueError(f"{part!r} is not of the form target=1 or target=1,2")
        if match[1] in labels:
            raise ValueError(f"{match[1]!r} stands twice")
        labels[match[1]] = tuple(int(value) for value in match[2].split(","))
    if not labels:
        raise ValueError("no target; write target=1, or @table for a table of the manifest")
    return labels


def _faults_between(rows: list[Row]) -> list[str]:
    """What is wrong between rows that are right by themselves."""
    faults = []
    for (_, _, modality), group in _grouped(
        rows, lambda row: (row.subject, row.session, row.modality)
    ).items():
        first, targets, references = (
            group[0],
            {name.lower(): group[0] for name in group[0].labels},
            {group[0].reference},
        )
        for row in group[1:]:
            for column in ("image", "unit", "sha256"):
                if getattr(row, column) != getattr(first, column):
                    why = f"line {first.line} has another {column} for {modality} of {row.case}"
                    faults.append(
                        f"line {row.line}, column {column}: {why}; a second imaging session has another session name"
                    )
            if row.reference in references:
                faults.append(
                    f"line {row.line}, column reference: a duplicate; {row.reference} stands above for the same image"
                )
            references.add(row.reference)
            for name in row.labels:
                if before := targets.get(name.lower()):
                    faults.append(
                        f"line {row.line}, column labels: target {name!r} is already in line {before.line}"
                    )
            targets |= {name.lower(): row for name in row.labels}
    for row in rows:
        if len({name.lower() for name in row.labels}) < len(row.labels):
            faults.append(
                f"line {row.line}, column labels: two targets differ in upper and lower case only"
            )
    faults += _collisions(rows)
    for subject, group in _grouped(rows, lambda row: row.subject).items():
        for row in group[1:]:
            if row.split != group[0].split:
                why = f"{subject} is in split {group[0].split} in line {group[0].line}"
                faults.append(f"line {row.line}, column split: {why}; a subject has one split")
    return faults


def _collisions(rows: list[Row]) -> list[str]:
    """Cases that would share a folder: by letter case, or because subject and session join to the same name."""
    faults, seen = [], dict[str, Row]()
    for row in rows:
        other = seen.setdefault(row.case.lower(), row)
        if (other.subject, other.session) != (row.subject, row.session):
            faults.append(
                f"line {row.line}, column subject: {row.case} and {other.case} in line {other.line} are one folder name"
            )
    return faults


def _grouped(rows: list[Row], key: Any) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)
