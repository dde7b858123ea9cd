"""Conversion between the types of a run folder's files and JSON, earlier formats included.

Every JSON file has a ``format`` number. Format 2 is the present one. Files without the number are
of format 1, which umd wrote until 2026-11; they are read and never written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import DamagedFileError, UserError
from evaluator.files import Json, fingerprint, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMAT = 2
#: faulty fields that a message names
MAX_FAULTS = 3

T = TypeVar("T")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def read_typed(kind: type[T], path: Path) -> T:
    """Read a file of the run folder.

    Raises:
        DamagedFileError: the file is damaged; the message names it.
        UserError: a newer version wrote it.
    """
    try:
        body = read_json(path)
    except UserError as error:
        raise DamagedFileError(str(error)) from error
    number = body.get("format", 1)
    if not isinstance(number, int) or number > FORMAT:
        raise UserError(
            f"{path} has format {number}; this umd reads formats up to {FORMAT}: use a newer umd"
        )
    try:
        if number == 1 and kind.__name__ in _UPGRADES:
            body = _UPGRADES[kind.__name__](body)
        return convert(kind, body)
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(
            f"{path} does not have the form that this umd writes ({_describe(error)}); "
            "restore it from a copy, or, if it is a run's, remove it and run again"
        ) from error


def _describe(error: Exception) -> str:
    """What is wrong with a file: its first faulty fields, by name."""
    if isinstance(error, KeyError):
        return f"the field {error.args[0]} is missing"
    if not isinstance(error, ValidationError):
        return str(error)
    faults = []
    for fault in error.errors()[:MAX_FAULTS]:
        place = ".".join(map(str, fault["loc"])) or "the file"
        if fault["type"] == "missing":
            faults.append(f"the field {place} is missing")
        else:
            expected = fault["msg"].replace("Input should be ", "")
            faults.append(f"the field {place} should be {expected}")
    return "; ".join(faults)


def write_typed(path: Path, value: Any) -> None:
    """Write a file of the run folder, in the present format. Raises HostError."""
    write_json(path, dump(value))


def write_hashed(path: Path, value: Any) -> None:
    """As ``write_typed``, with the hash of the other fields in ``sha256``. Raises HostError."""
    body = dump(value)
    write_json(path, body | {"sha256": _hash_of(body)})


def has_recorded_hash(path: Path) -> bool:
    """Whether a file's content has the hash that it names; True for files without one.

    Raises:
        UserError: the file is missing or damaged.
    """
    body = read_json(path)
    return not body.get("sha256") or body["sha256"] == _hash_of(body)


def _hash_of(body: Json) -> str:
    return fingerprint({name: value for name, value in body.items() if name != "sha256"})


def convert(kind: type[T], body: Any) -> T:
    """A value of this type from plain JSON values; raises pydantic's ValidationError."""
    value: T = _adapter(kind).validate_python(body)
    return value


def dump(value: Any) -> Json:
    """A value as plain JSON values; fields that are None are left out."""
    return dict(_adapter(type(value)).dump_python(value, mode="json", exclude_none=True))


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Building one takes milliseconds, so each is built once."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _rename(body: Json, names: dict[str, str]) -> Json:
    return {names.get(name, name): value for name, value in body.items()}


def _upgrade_record(body: Json) -> Json:
    names = {"pair": "session", "no_prompt": "missing_prompts", "endings": "stop_reasons"}
    rounds = [_upgrade_round(entry) for entry in body.get("rounds", ())]
    return _rename(body, names) | {"rounds": rounds, "format": FORMAT}


def _upgrade_round(body: Json) -> Json:
    targets = {
        name: _rename(target, {"clicks": "interactions"})
        for name, target in body["targets"].items()
    }
    reply = body.get("reply") or None
    return body | {"targets": targets, "reply": reply}


def _upgrade_reproducibility(body: Json) -> Json:
    differences = {}
    for mode, of_mode in body["differences"].items():
        first = [_rename(entry, {"again": "repeated_status"}) for entry in of_mode["first"]]
        differences[mode] = {"count": of_mode["count"], "first": first}
    names = {"asked": "mode", "of": "source"}
    return _rename(body, names) | {"differences": differences, "format": FORMAT}


def _upgrade_run(body: Json) -> Json:
    engine = dict(body["engine"])
    facts = {"name": engine.pop("name"), "isolates": engine.pop("isolates")}
    weights = body.get("weights") or {}
    return _rename(body, {"umd": "software"}) | {
        "engine": facts | {"versions": engine},
        "weights": {"name": weights.get("which") or "", "sha256": weights.get("sha256") or {}},
        "format": FORMAT,
    }


_UPGRADES: dict[str, Callable[[Json], Json]] = {
    "ScanRecord": _upgrade_record,
    "Reproducibility": _upgrade_reproducibility,
    "RunInfo": _upgrade_run,
    "SuiteRecord": lambda body: _rename(body, {"ended": "results"}),
}
