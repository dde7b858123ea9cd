"""What is wrong with a manifest, one line for each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError


def invalid_manifest(path: Path, error: ValidationError) -> ManifestError:
    """The error of a manifest whose fields are not valid."""
    lines = [describe_fault(fault) for fault in error.errors()]
    return ManifestError("\n  ".join([f"{path} is not valid:", *lines]))


def describe_fault(fault: Any) -> str:
    """One fault of pydantic's list: the field, and what is wrong with it."""
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]") or "the file"
    if fault["type"] == "missing":
        return f"{place}: is missing"
    if fault["type"] == "extra_forbidden":
        return f"{place}: is not known"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message.replace('Input should be', 'should be')}"
