"""Results of ``umd models check`` in docs/checks/<model>.json; the table in docs/models.md."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.errors import ManifestError
from evaluator.files import read_json, write_bytes, write_json
from evaluator.zoo.conformance.golden_record import golden_state
from evaluator.zoo.preflight.verdict import NOT_RUN, name_of_weights, preflight_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.zoo.conformance.results import Result
    from evaluator.zoo.prepare import PreparedModel

BEGIN = "<!-- checks: made by umd models badges from docs/checks; do not edit -->"
END = "<!-- end of checks -->"
COLUMNS = (
    "model",
    "weights",
    "golden case",
    "checks passed",
    "s per request, at most",
    "s for 512×512×400",
    "memory",
    "on",
)


def write_record(name: str, prepared: PreparedModel, results: Sequence[Result]) -> Path:
    """Write the results of a check to ``docs/checks``.

    Args:
        name: name of the model.
        prepared: the model that was checked, with its weights.
        results: all results, in order.

    Returns:
        the file.
    """
    measured: dict[str, float] = {}
    for result in results:
        measured |= result.measured
    body = {
        "model": name,
        "weights": prepared.identity or "none",
        "weights_sha256": dict(prepared.hashes),
        "preflight": preflight_state(name, prepared.hashes),
        "image": prepared.model.digest,
        "device": "GPU" if "gpu_peak_gib" in measured else "CPU",
        "host": f"{os.cpu_count()} cores, {platform.machine()}",
        "date": datetime.now(UTC).date().isoformat(),
        "measured": measured,
        "checks": [asdict(result) for result in results],
    }
    path = _folder() / f"{name}.json"
    write_json(path, body)
    return path


def badge_table() -> str:
    """The table of all records, by model, as Markdown."""
    rows = [_row(read_json(path)) for path in sorted(_folder().glob("*.json"))]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def update_models_page() -> bool:
    """Write the table into docs/models.md.

    Returns:
        Whether the page changed.

    Raises:
        ManifestError: the page has no lines that mark the place of the table.
    """
    path = paths.project() / "docs" / "models.md"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ManifestError(f"{path} has no place for the table, from the line {BEGIN} to {END}")
    page = f"{before}{BEGIN}\n{badge_table()}\n{END}{after}"
    if page != text:
        write_bytes(path, page.encode())
    return page != text


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    checks, measured = record["checks"], record["measured"]
    passed = sum(check["ok"] for check in checks)
    failed = "; ".join(check["check"] for check in checks if not check["ok"])
    is_random = record["weights"].startswith("random")
    weights = name_of_weights(record["weights"], record.get("preflight", NOT_RUN))
    return (
        f"`{record['model']}`",
        f"{weights}: not a result" if is_random else weights,
        golden_state(record["model"], {} if is_random else record["weights_sha256"]),
        f"{passed} of {len(checks)}" + (f" (not: {failed})" if failed else ""),
        _number(measured.get("slowest_seconds")),
        _number(measured.get("huge_seconds")),
        _number(measured.get("peak_memory_gib"), " GiB"),
        f"{record['device']}, {record['host']}, {record['date']}",
    )


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:.2g}{unit}" if value < 10 else f"{value:.0f}{unit}"


def _folder() -> Path:
    return paths.project() / "docs" / "checks"
