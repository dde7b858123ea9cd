"""Results of ``umd models golden`` in docs/checks/golden/<model>.json, with the weights' hashes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: values of ``WeightsInfo.golden``; empty for a model without weights
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


def record_path(model: str) -> Path:
    """The file of a model's golden case."""
    return paths.project() / "docs" / "checks" / "golden" / f"{model}.json"


def write_golden(
    model: str,
    *,
    weights: str,
    sha256: Mapping[str, str],
    image: str,
    checks: list[dict[str, object]],
) -> Path:
    """Write the result of a golden case.

    Args:
        model: name of the model.
        weights: which weights it ran with, as ``RunIdentity.weights``.
        sha256: file of the weights -> hash.
        image: digest of the image or the adapter's files.
        checks: each with "check", "ok" and "detail".

    Returns:
        the file.
    """
    body = {
        "model": model,
        "weights": weights,
        "weights_sha256": dict(sha256),
        "image": image,
        "date": datetime.now(UTC).date().isoformat(),
        "passed": all(check["ok"] for check in checks),
        "checks": checks,
    }
    path = record_path(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, body)
    return path


def golden_state(model: str, sha256: Mapping[str, str]) -> str:
    """Whether a model passed its golden case with these weights.

    Args:
        model: name of the model.
        sha256: file of the weights -> hash; empty for random weights and models without weights.

    Returns:
        "passed" or "failed" if it was run with weights of the same hashes, else "not run".
    """
    path = record_path(model)
    if not path.exists() or not sha256:
        return NOT_RUN
    record = read_json(path)
    if dict(record["weights_sha256"]) != dict(sha256):
        return NOT_RUN
    return PASSED if record["passed"] else FAILED
