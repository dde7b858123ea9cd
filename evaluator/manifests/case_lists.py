"""Case lists: the images and references of each subject, a tab-separated file.

Each row is one reference. An error message lists all faults with line and column, so a list can be
corrected in one pass.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluator.errors import ManifestError
from evaluator.manifests.label_tables import LARGEST_LABEL
from evaluator.types import Modality, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    LabelTables = Mapping[str, Mapping[str, tuple[int, ...]]]

REQUIRED = ("subject", "session", "modality", "image", "reference", "unit", "labels")
OPTIONAL = ("split", "sha256", "reference_sha256")

#: the unit of each modality; requests contain it, and scores with thresholds depend on it
UNITS: dict[Modality, Unit] = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_MAX_FAULTS = 20


def _no_upward(path: str) -> str:
    if "\\" in path or ".." in path.split("/"):
        raise ValueError("a path has '/' between its parts and no '..'")
    return path


Name = Annotated[str, Field(pattern=NAME)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_no_upward)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MaybeSha256 = Annotated[Sha256 | None, BeforeValidator(lambda value: value or None)]


class Row(BaseModel):
    """One row: a reference and its image; paths are relative to the dataset's root."""

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
        """The name of the case, equal to ``evaluator.types.Case.id``."""
        return f"{self.subject}.{self.session}"


def read_case_list(path: Path, tables: LabelTables) -> tuple[Row, ...]:
    """Read a case list.

    Args:
        path: the file.
        tables: the manifest's label tables; the column ``labels`` refers to them as ``@name``.

    Returns:
        the rows in file order.

    Raises:
        ManifestError: the list has faults; the message gives the line and column of each.
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
        shown = faults[:_MAX_FAULTS]
        if len(faults) > _MAX_FAULTS:
            shown.append(f"... and {len(faults) - _MAX_FAULTS} more")
        raise ManifestError("\n  ".join([f"{path}:", *shown]))
    return tuple(rows)


def _parse(lines: list[str], tables: LabelTables, faults: list[str]) -> list[Row]:
    header = lines[0].split("\t") if lines else []
    # before version 0.1, the column "session" was named "pair"
    header = ["session" if name == "pair" else name for name in header]
    if missing := [name for name in REQUIRED if name not in header]:
        faults.append(f"line 1: column {', '.join(missing)} missing; columns are separated by tabs")
    if unknown := [name or "(no name)" for name in header if name not in (*REQUIRED, *OPTIONAL)]:
        faults.append(f"line 1: unknown column {', '.join(unknown)}")
    if len(set(header)) < len(header):
        faults.append("line 1: a column name is repeated")
    if faults:
        return []
    rows = []
    read_labels: dict[str, dict[str, tuple[int, ...]]] = {}
    for line, fields in enumerate(csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE), 2):
        if not any(fields) or fields[0].startswith("#"):
            continue
        if len(fields) != len(header):
            faults.append(f"line {line}: {len(fields)} fields where the header has {len(header)}")
            continue
        row = _row(line, dict(zip(header, fields, strict=True)), tables, read_labels, faults)
        rows += [row] if row else []
    if not rows and not faults:
        faults.append("no cases: the file contains only a header")
    return rows


def _row(
    line: int,
    fields: dict[str, str],
    tables: LabelTables,
    read_labels: dict[str, dict[str, tuple[int, ...]]],
    faults: list[str],
) -> Row | None:
    """One row; None and faults if it is not valid. ``read_labels``: those of the rows before."""
    values: dict[str, Any] = {
        name: value for name, field in fields.items() if (value := _unquoted(field.strip()))
    }
    if "reference" in values and "image" not in values:
        faults.append(f"line {line}, column image: a reference without an image")
        return None
    try:
        text = values.get("labels", "")
        if text not in read_labels:
            read_labels[text] = parse_labels(text, tables)
        values["labels"] = dict(read_labels[text])
        row = Row.model_validate({**values, "line": line})
    except ValidationError as error:
        faults += [
            f"line {line}, column {fault['loc'][0]}: {_describe(fault, fields)}"
            for fault in error.errors()
        ]
        return None
    except ValueError as error:
        faults.append(f"line {line}, column labels: {error}")
        return None
    if row.unit != UNITS[row.modality]:
        faults.append(
            f"line {line}, column unit: {row.modality} must be in {UNITS[row.modality]}, "
            f"not {row.unit}; convert the image"
        )
    return row


def _unquoted(field: str) -> str:
    """A field without the quotes that spreadsheets put about it."""
    inner = field[1:-1]
    if len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner:
        return inner.strip()
    return field


def _describe(fault: Any, fields: Mapping[str, str]) -> str:
    value = fields.get(str(fault["loc"][0]), "")
    if not value:
        return "empty; a value is needed"
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME:
        name = str(fault["input"])
        return f"{name!r}: {name_rule(name)}"
    return f"{value!r}: {fault['msg']}"


def name_rule(name: str) -> str:
    """How a name is written, with a proposal for this one."""
    proposal = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.")
    rule = "a name consists of ASCII letters, digits and the characters _ . -, without spaces"
    return f"{rule}; write {proposal}" if re.fullmatch(NAME, proposal) else rule


def parse_labels(text: str, tables: LabelTables) -> dict[str, tuple[int, ...]]:
    """Parse ``liver=5;lung=10,11`` or ``@table`` to target -> label values.

    Raises:
        ValueError: the text is invalid; the message describes the fault.
    """
    if text.startswith("@"):
        if text[1:] not in tables:
            raise ValueError(
                f"the manifest has no table [labels.{text[1:]}]; "
                f"it has {', '.join(tables) or 'none'}"
            )
        return dict(tables[text[1:]])
    labels: dict[str, tuple[int, ...]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        match = re.fullmatch(r"([^=]+?)\s*=\s*(\d+(?:\s*,\s*\d+)*)", part)
        if not match:
            raise ValueError(f"{part!r} is not of the form target=1 or target=1,2")
        target = match[1]
        if not re.fullmatch(NAME, target):
            raise ValueError(f"target {target!r}: {name_rule(target)}")
        if target in labels:
            raise ValueError(f"{target!r} is repeated")
        labels[target] = tuple(int(value) for value in match[2].split(","))
        if max(labels[target]) > LARGEST_LABEL:
            raise ValueError(f"{part!r}: labels up to 2^63 - 1 are read")
    if not labels:
        raise ValueError("no target; write target=1, or @table for a table of the manifest")
    return labels


def _faults_between(rows: list[Row]) -> list[str]:
    """Contradictions between rows that are valid by themselves."""
    faults: list[str] = []
    for scan_rows in _grouped(rows, lambda row: (row.subject, row.session, row.modality)).values():
        faults += _faults_of_scan(scan_rows)
    for row in rows:
        if len({name.lower() for name in row.labels}) < len(row.labels):
            faults.append(
                f"line {row.line}, column labels: two targets differ in upper and lower case only"
            )
    faults += _collisions(rows)
    for subject, group in _grouped(rows, lambda row: row.subject).items():
        for row in group[1:]:
            if row.split != group[0].split:
                reason = f"{subject} is in split {group[0].split} in line {group[0].line}"
                faults.append(f"line {row.line}, column split: {reason}; a subject has one split")
    return faults


def _faults_of_scan(rows: list[Row]) -> list[str]:
    """Contradictions between rows of one image."""
    faults = []
    first = rows[0]
    targets = {name.lower(): first for name in first.labels}
    references = {first.reference}
    for row in rows[1:]:
        for column in ("image", "unit", "sha256"):
            if getattr(row, column) != getattr(first, column):
                faults.append(
                    f"line {row.line}, column {column}: line {first.line} has a different {column} "
                    f"for {row.modality} of {row.case}; a second imaging session needs a different "
                    "session name"
                )
        if row.reference in references:
            faults.append(
                f"line {row.line}, column reference: a duplicate; a line above lists "
                f"{row.reference} for the same image"
            )
        references.add(row.reference)
        for name in row.labels:
            if duplicate := targets.get(name.lower()):
                faults.append(
                    f"line {row.line}, column labels: target {name!r} is already in line "
                    f"{duplicate.line}"
                )
        targets |= {name.lower(): row for name in row.labels}
    return faults


def _collisions(rows: list[Row]) -> list[str]:
    """Cases that would share a folder.

    Their names differ in upper and lower case only, or subject and session join to the same name.
    """
    faults, first_rows = [], dict[str, Row]()
    for row in rows:
        first = first_rows.setdefault(row.case.lower(), row)
        if (first.subject, first.session) != (row.subject, row.session):
            faults.append(
                f"line {row.line}, column subject: {row.case} and {first.case} in line "
                f"{first.line} would have the same folder name"
            )
    return faults


def _grouped(rows: list[Row], key: Any) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)
