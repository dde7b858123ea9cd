"""The file that ``umd score -o`` writes: one JSON object for each pair, appended as it is scored.

A file that is there is continued if all of its lines are results. Any other file is the user's and
is left as it is.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from evaluator.errors import UserError, write_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from evaluator.scoring.file_pairs import Pair

    Json = dict[str, Any]

logger = logging.getLogger(__name__)

BEGINNING = '{"name": '
"""How every line begins."""


def prepare_output(
    output: Path | None, inputs: Sequence[Path | None], *, force: bool
) -> dict[str, Json]:
    """Check the file to write; it then holds nothing but results.

    Args:
        output: the file of JSON objects.
        inputs: files that are read, which are never replaced.
        force: replace a file that is something else; a warning says what is lost.

    Returns:
        The results that the output holds already, by name.

    Raises:
        UserError: the file is an input, or is there and is something else.
    """
    if not output:
        return {}
    check_output(output, inputs)
    try:
        results = read_results(output)
    except UserError:
        if not force:
            raise
        logger.warning(describe_lost(output))
        results = {}
    if output.exists():
        write_results(output, results.values())
    return results


def check_output(path: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that is one of the inputs; raises UserError."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; -o names a file")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder; make it first")
    if not path.exists():
        return
    for other in inputs:
        if other and other.exists() and path.samefile(other):
            raise UserError(f"{path} is one of the inputs; give -o another file")


def inputs_of(pairs: Iterable[Pair]) -> list[Path | None]:
    """All files that pairs name."""
    files: list[Path | None] = []
    for pair in pairs:
        files += [pair.reference, pair.prediction, pair.image]
    return files


def read_results(path: Path) -> dict[str, Json]:
    """The last result of each name in an output file; empty without a file.

    The last line may be incomplete, because the process was killed while it wrote it.

    Raises:
        UserError: a line is no result of ``umd score``.
    """
    results: dict[str, Json] = {}
    if not path.exists():
        return results
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(_not_ours(path, "it is no text")) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        result = _result(line)
        if result is not None:
            results[result["name"]] = result
        elif number < len(lines) or not _is_beginning(line):
            raise UserError(_not_ours(path, f"line {number} is {line[:60]!r}"))
    return results


def append_result(path: Path, result: Json) -> None:
    """Add one result to an output file; raises HostError."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result, allow_nan=False) + "\n")
    except OSError as error:
        raise write_fault(path, error) from error


def write_results(path: Path, results: Iterable[Json]) -> None:
    """Write an output file anew."""
    write_text(path, "".join(json.dumps(result, allow_nan=False) + "\n" for result in results))


def write_text(path: Path, text: str) -> None:
    """Write a file, which gets its name when it is complete; raises HostError."""
    temporary = path.with_name(f".writing-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise write_fault(path, error) from error


def describe_lost(path: Path) -> str:
    """What goes with a file that is replaced."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.readline(80).decode("utf-8", errors="replace").rstrip()
    return f"{path} is replaced: {size} bytes, beginning with {first!r}, are lost (--force)"


def _result(line: str) -> Json | None:
    """A line as a result; None if it is none."""
    try:
        result = json.loads(line)
    except ValueError:
        return None
    if not isinstance(result, dict) or not isinstance(result.get("name"), str):
        return None
    return result if "targets" in result or "error" in result else None


def _is_beginning(line: str) -> bool:
    """Whether a line is the beginning of a result that was not written to its end."""
    try:
        json.loads(line)
    except ValueError:
        return line.startswith(BEGINNING) or BEGINNING.startswith(line)
    return False


def _not_ours(path: Path, why: str) -> str:
    return (
        f"{path} is there and is no output of umd score ({why}). Nothing was changed. "
        "Give another file, or replace this one with --force"
    )
