"""Checks of each file of weights: present, bytes, sha256, and the tensors in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evaluator.errors import ModelFilesError
from evaluator.files import file_sha256
from evaluator.zoo.archives import check_unpacked
from evaluator.zoo.catalog import zoo
from evaluator.zoo.preflight.expectations import read_expectations
from evaluator.zoo.preflight.file_kinds import other_format
from evaluator.zoo.preflight.tensor_list import read_tensor_list
from evaluator.zoo.preflight.verdict import write_verdict
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.zoo.preflight.expectations import Expectations, ExpectedFile
    from evaluator.zoo.preflight.tensor_list import TensorList
    from evaluator.zoo.sources import Download, Sources

#: "unknown": nobody has published what would be needed; "not-run": needs something this machine
#: lacks
State = Literal["ok", "failed", "unknown", "not-run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightResult:
    """The result of one check."""

    check: str
    state: State
    detail: str
    #: the file of weights that it is about, as in sources.toml; empty: none, or several
    into: str = ""
    #: of that file, or of the archive that it was unpacked from; empty if it was not computed
    sha256: str = ""


def check_files(model: str, sources: Sources, folder: Path) -> Iterator[PreflightResult]:
    """Check all files of weights in a folder laid out as /opt/ml/model.

    Args:
        model: name of the model.
        sources: its files.
        folder: the folder.
    """
    expectations = read_expectations(model)
    for download in (*sources.weights, *sources.auxiliary):
        path = folder / download.into
        if download.unpack:
            yield _unpacked(model, path, download)
        elif not path.is_file():
            yield _of_file(download, "failed", _absent(model, path, download))
        else:
            yield _stated(model, path, download, expectations)
            expected = [file for file in expectations.file if file.into == download.into]
            for result in _tensors(model, path, expected[0] if expected else None, expectations):
                detail = result.detail
                if result.state == "failed" and download.address not in detail:
                    detail += f"; the right file is {download.address}"
                yield replace(result, into=download.into, detail=detail)
    if len(expectations.file) > 1:
        yield from _same_steps(folder, expectations)


def require_right_files(model: str, sources: Sources, folder: Path) -> None:
    """Raise ModelFilesError if a file of weights is not the expected one; names each fault.

    The verdict is kept for runs with weights of these hashes.
    """
    results = list(check_files(model, sources, folder))
    write_verdict(model, results)
    faults = [result.detail for result in results if result.state == "failed"]
    if faults:
        raise ModelFilesError(
            "\n  ".join([f"the weights of {model} are not the expected ones:", *faults])
        )


def _result(check: str, state: State, detail: str) -> PreflightResult:
    return PreflightResult(check=check, state=state, detail=detail)


def _of_file(download: Download, state: State, detail: str, sha256: str = "") -> PreflightResult:
    return PreflightResult(
        check=download.into, state=state, detail=detail, into=download.into, sha256=sha256
    )


def _absent(model: str, path: Path, download: Download) -> str:
    """What is in the place of a file that is not there, and how to get it."""
    what = "is a folder, not a file" if path.is_dir() else "does not exist"
    return f"{path} {what}; umd models fetch {model} brings it from {download.address}"


def _unpacked(model: str, folder: Path, download: Download) -> PreflightResult:
    try:
        sha256 = check_unpacked(folder, download)
    except ModelFilesError as error:
        detail = f"{error}; umd models fetch {model} brings it from {download.address}"
        return _of_file(download, "failed", detail)
    if download.sha256 == UNVERIFIED:
        detail = f"archive of sha256 {sha256}; none is published"
        return _of_file(download, "unknown", detail, sha256)
    return _of_file(download, "ok", "archive of the published sha256", sha256)


def _stated(
    model: str, path: Path, download: Download, expectations: Expectations
) -> PreflightResult:
    """Compare bytes and sha256 with sources.toml."""
    size = path.stat().st_size
    sha256 = file_sha256(path)
    for other in expectations.other:
        if size == other.bytes or (other.sha256 and sha256.startswith(other.sha256)):
            detail = f"{path} is {other.name}; {model} needs {download.address}"
            return _of_file(download, "failed", detail, sha256)
    if download.bytes not in (None, size):
        return _of_file(
            download,
            "failed",
            f"{path} has {size:,} bytes, expected {download.bytes:,}: truncated or another file; "
            f"{model} needs {download.address}",
            sha256,
        )
    if download.sha256 == UNVERIFIED:
        detail = f"{size:,} bytes, sha256 {sha256[:16]}...; none is published"
        return _of_file(download, "unknown", detail, sha256)
    if download.sha256 != sha256:
        return _of_file(
            download,
            "failed",
            f"{path} has sha256 {sha256}, expected {download.sha256}; {model} needs "
            f"{download.address}",
            sha256,
        )
    return _of_file(download, "ok", f"{size:,} bytes, the stated sha256", sha256)


def _tensors(
    model: str, path: Path, expected: ExpectedFile | None, expectations: Expectations
) -> Iterator[PreflightResult]:
    check = f"{path.name}: tensors"
    try:
        tensors = read_tensor_list(path)
    except ModelFilesError as error:
        yield _result(check, "failed", str(error))
        return
    if tensors is None:
        if expected:
            yield _result(check, "failed", f"{path} is {other_format(path)}")
        return
    if tensors.foreign:
        names = ", ".join(tensors.foreign[:4])
        yield _result(
            f"{path.name}: code",
            "unknown",
            f"its pickle asks for more than tensors ({names}); it runs inside the container only",
        )
    if expected is None:
        counts = f"{len(tensors.tensors)} tensors, {tensors.numbers:,} numbers"
        yield _result(check, "unknown", f"{counts}; no expectation is recorded")
    elif tensors.digest(expected.ignored, expected.prefix) == expected.digest:
        yield _result(check, "ok", f"{expected.tensors} tensors as in the architecture")
    else:
        yield _result(check, "failed", _what_it_is(model, path, tensors, expected, expectations))


def _what_it_is(
    model: str,
    path: Path,
    tensors: TensorList,
    expected: ExpectedFile,
    expectations: Expectations,
) -> str:
    """A sentence about a file with other tensors than expected."""
    counts = f"{len(tensors.tensors)} tensors with {tensors.numbers:,} numbers"
    wanted = f"{model} needs {expected.tensors} tensors with {expected.numbers:,} numbers"
    for other in expectations.other:
        if other.tensor and any(other.tensor in name for name in tensors.tensors):
            return f"{path} is {other.name} ({counts}); {wanted}"
        if other.digest == tensors.digest():
            return f"{path} is {other.name} ({counts}); {wanted}"
    prefix = tensors.common_prefix()
    if prefix and tensors.digest(expected.ignored, prefix) == expected.digest:
        return (
            f"{path} has the right tensors under the names {prefix}*: a file for another loader; "
            f"{wanted} without this prefix"
        )
    for name, into in _models_with(tensors):
        if name != model:
            return f"{path} is {into} of model {name} ({counts}); {wanted}"
    return f"{path} is a checkpoint of another network ({counts}); {wanted}"


def _models_with(tensors: TensorList) -> Iterator[tuple[str, str]]:
    """Model and file of each expectation that these tensors meet."""
    for model in zoo():
        for file in read_expectations(model.name).file:
            if tensors.digest(file.ignored, file.prefix) == file.digest:
                yield model.name, file.into


def _same_steps(folder: Path, expectations: Expectations) -> Iterator[PreflightResult]:
    """Files that were trained together state the same step."""
    steps = {}
    for file in expectations.file:
        try:
            tensors = read_tensor_list(folder / file.into)
        except (ModelFilesError, OSError):
            return
        if tensors is not None and tensors.step is not None:
            steps[file.into] = tensors.step
    if len(steps) < 2:
        return
    text = ", ".join(f"{name}: {step}" for name, step in steps.items())
    equal = len(set(steps.values())) == 1
    yield _result(
        "trained together",
        "ok" if equal else "failed",
        f"training steps {text}" + ("" if equal else "; the files do not belong together"),
    )
