"""Whether the checks of files passed for weights of these hashes, in the cache.

Written whenever files are checked (preflight, fetch, build, ``--weights DIR``), read by runs and by
the records of ``umd models check``. Without it weights are "unverified", whatever a card says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import UserError
from evaluator.files import read_json, write_json
from evaluator.zoo.bundles import identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evaluator.zoo.preflight.weight_files import PreflightResult

#: values of ``WeightsInfo.preflight``; unknown: nothing is known of a file by which to recognise it
PASSED, FAILED, UNKNOWN, NOT_RUN = "passed", "failed", "unknown", "not run"


def verdict_of(results: Sequence[PreflightResult]) -> str:
    """The verdict on the files of weights.

    Args:
        results: those of ``check_files``.

    Returns:
        "failed" if a check failed; "passed" if each file has its stated hash or the tensors of the
        architecture; else "unknown".
    """
    if any(result.state == "failed" for result in results):
        return FAILED
    files = {result.into for result in results if result.into}
    recognised = {result.into for result in results if result.state == "ok"}
    return PASSED if files and files <= recognised else UNKNOWN


def write_verdict(model: str, results: Sequence[PreflightResult]) -> str:
    """Keep the verdict for weights of these hashes; one without a hash of each file is not kept."""
    hashes = {result.into: result.sha256 for result in results if result.sha256}
    files = {result.into for result in results if result.into}
    verdict = verdict_of(results)
    if hashes.keys() == files and files:
        path = _path(model, hashes)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {
            "model": model,
            "weights_sha256": hashes,
            "preflight": verdict,
            "date": datetime.now(UTC).date().isoformat(),
        }
        write_json(path, body)
    return verdict


def preflight_state(model: str, sha256: Mapping[str, str]) -> str:
    """The verdict on weights of these hashes; "not run" if there is none.

    Args:
        model: name of the model.
        sha256: file of the weights -> hash; empty for random weights and models without weights.
    """
    path = _path(model, sha256)
    if not sha256 or not path.exists():
        return NOT_RUN
    try:
        verdict = read_json(path)["preflight"]
    except (UserError, KeyError, TypeError):  # a damaged file of the cache is made again
        return NOT_RUN
    return verdict if verdict in (PASSED, FAILED, UNKNOWN) else NOT_RUN


def name_of_weights(name: str, preflight: str) -> str:
    """What a table may call weights.

    Args:
        name: as ``RunIdentity.weights``.
        preflight: as ``preflight_state``.

    Returns:
        random weights by their name, as they are no claim; others by their name only after a
        preflight that passed, else "unverified" and why.
    """
    if not name or name.startswith("random") or preflight == PASSED:
        return name
    return f"unverified (preflight: {preflight})"


def _path(model: str, hashes: Mapping[str, str]) -> Path:
    return paths.cache() / "preflight" / f"{model}-{identity_of(dict(hashes))[:16]}.json"
