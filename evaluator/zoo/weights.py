"""The choice of weights: published ones, random numbers, or a folder that is mounted."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator.errors import ModelFilesError, UserError
from evaluator.files import file_sha256
from evaluator.zoo.archives import check_unpacked
from evaluator.zoo.bundles import identity_of
from evaluator.zoo.preflight.weight_files import check_files, require_right_files
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from evaluator.zoo.bundles import Part
    from evaluator.zoo.sources import Sources

logger = logging.getLogger(__name__)

SIZES = ("small", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A choice of weights; ``folder`` is mounted, for the kind "mounted" only."""

    kind: Literal["none", "published", "random", "mounted"]
    size: Literal["", "small", "full"] = ""
    folder: Path | None = None

    @property
    def label(self) -> str:
        """The value of the label ``umd.weights``."""
        if self.kind == "none":
            return ""
        return f"random:{self.size}" if self.kind == "random" else self.kind

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the image that replace those of the Dockerfile."""
        if self.kind == "none":
            return {}
        if self.kind == "random":
            return {
                "umd.weights": self.label,
                "umd.weights.sha256": "",
                "umd.weights.license": "random numbers",
            }
        return {"umd.weights": self.label}

    @property
    def tag(self) -> str:
        """Prefix of the hash in the image's tag; empty for published weights."""
        return "" if self.kind in ("none", "published") else f"{self.label.replace(':', '-')}-"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The kinds of files that must be fetched for such an image."""
        baked: tuple[Part, ...] = ("weights",) if self.kind == "published" else ()
        return ("packages", "upstream", "auxiliary", *baked)


def choose_weights(text: str, model: str, sources: Sources | None) -> Weights:
    """Parse the value of ``--weights``.

    Args:
        text: "published", "random", "random:small", "random:full", or a folder to mount.
        model: name of the model, for messages.
        sources: the model's sources; None if it has none.

    Raises:
        UserError: the value is invalid, or the model has no such weights.
    """
    has_weights = sources is not None and sources.has_weights
    if text == "published":
        if sources is not None and sources.brought:
            raise UserError(
                f"weights of {model} are not published; use --weights DIR, with {sources.brought}; "
                "or --weights random, for a test run without meaningful results"
            )
        return default_weights(sources)
    if not has_weights:
        raise UserError(f"model {model} has no weights; omit --weights")
    kind, _, size = text.partition(":")
    if kind == "random":
        if (size or "small") not in SIZES:
            raise UserError(
                f"--weights {text}: random weights are random:small (for tests) or random:full "
                "(to measure speed)"
            )
        return Weights(kind="random", size=size or "small")  # type: ignore[arg-type]
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f"--weights {text}: use published, random, random:full, or a folder that contains the "
            "weights"
        )
    return Weights(kind="mounted", folder=folder)


def default_weights(sources: Sources | None) -> Weights:
    """The weights of an image if the user makes no choice."""
    if sources is None or not sources.has_weights:
        return Weights(kind="none")
    return Weights(kind="published" if sources.weights else "mounted")


def check_mounted(folder: Path, model: str, sources: Sources) -> dict[str, str]:
    """Check a folder of weights that will be mounted.

    Args:
        folder: the folder.
        model: name of the model, for messages.
        sources: the files that the model reads, with their hashes.

    Returns:
        sha256 of each file by its path in the folder.

    Raises:
        ModelFilesError: a file is missing, unreadable for the container, or not the published one.
    """
    if sources.brought:
        return _hash_supplied_files(folder, sources.brought)
    hashes = {}
    for download in (*sources.weights, *sources.auxiliary):
        name, path = download.into, folder / download.into
        if download.unpack:
            hashes[name] = check_unpacked(path, download)
            continue
        if not path.is_file():
            raise ModelFilesError(
                f"{folder} does not contain {name}, which {model} reads. "
                f"umd models fetch {model} --into BUNDLE makes such a folder: "
                f"BUNDLE/{model}/weights"
            )
        hashes[name] = file_sha256(path)
        if download.sha256 == UNVERIFIED:
            logger.warning(
                f"UNVERIFIED: no sha256 is published for {name}; this file has {hashes[name]}, "
                "which the run records"
            )
        elif hashes[name] != download.sha256:
            raise ModelFilesError(
                f"{path} has sha256 {hashes[name]}; the published weights of {model} have "
                f"{download.sha256}. {_what_else(model, sources, folder)}Other weights make "
                "another model: add a Dockerfile and a sources.toml for it"
            )
        _check_readable(path)
    require_right_files(model, sources, folder)
    return hashes


def _what_else(model: str, sources: Sources, folder: Path) -> str:
    """Sentences about what the wrong files look like, such as truncated or another network's."""
    faults = [
        f"{result.detail}. "
        for result in check_files(model, sources, folder)
        if result.state == "failed" and "has sha256" not in result.detail
    ]
    return "".join(faults)


def _hash_supplied_files(folder: Path, description: str) -> dict[str, str]:
    """sha256 of all files that the user supplies; only the model knows what it needs."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise ModelFilesError(f"{folder} is empty; it must contain {description}")
    for path in files:
        _check_readable(path)
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def _check_readable(path: Path) -> None:
    if os.getuid() == 0 and not path.stat().st_mode & stat.S_IROTH:
        raise ModelFilesError(
            f"{path} is not readable for the container's user; chmod o+r the file (and o+x its "
            "folders)"
        )


def mounted_identity(hashes: dict[str, str]) -> str:
    """The weights in the identity of a run: "mounted:" and the start of a hash of all files."""
    return f"mounted:{identity_of(hashes)[:16]}"
