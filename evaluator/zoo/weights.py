"""Which weights an image holds: the published ones, random numbers in their place, or none because they are mounted."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evaluator.errors import ModelPartsError, UserError
from evaluator.zoo.archives import check_unpacked
from evaluator.zoo.bundles import identity_of
from evaluator.zoo.download import file_sha256
from evaluator.zoo.sources import UNVERIFIED

if TYPE_CHECKING:
    from evaluator.zoo.bundles import Part
    from evaluator.zoo.sources import Sources

logger = logging.getLogger(__name__)

SIZES = ("small", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A choice of weights; ``folder`` is what is mounted."""

    kind: Literal["none", "published", "random", "mounted"]
    size: Literal["", "small", "full"] = ""
    folder: Path | None = None

    @property
    def label(self) -> str:
        """The value of the label ``umd.weights``."""
        return {"none": "", "random": f"random:{self.size}"}.get(self.kind, self.kind)

    @property
    def labels(self) -> dict[str, str]:
        """What the image's labels say otherwise than the Dockerfile's text."""
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
        """What stands before the hash in the image's tag."""
        return "" if self.kind in ("none", "published") else f"{self.label.replace(':', '-')}-"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What has to be fetched for such an image."""
        baked: tuple[Part, ...] = ("weights",) if self.kind == "published" else ()
        return ("packages", "upstream", "auxiliary", *baked)


def choose_weights(text: str, model: str, sources: Sources | None) -> Weights:
    """What ``--weights`` says: published, random, random:small, random:full, or a folder to mount. Raises UserError."""
    has = sources is not None and sources.has_weights
    if text == "published":
        if sources is not None and sources.brought:
            raise UserError(
                f"nobody publishes weights of {model}; write --weights DIR, with {sources.brought}; "
                "or --weights random, for a trial without meaning"
            )
        return unasked_weights(sources)
    if not has:
        raise UserError(f"model {model} has no weights of its own; leave --weights out")
    kind, _, size = text.partition(":")
    if kind == "random":
        if (size or "small") not in SIZES:
            raise UserError(
                f"--weights {text}: random weights come as random:small (for tests) or random:full (for speed)"
            )
        return Weights(kind="random", size=size or "small")  # type: ignore[arg-type]
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f"--weights {text}: write published, random, random:full, or a folder that holds the weights"
        )
    return Weights(kind="mounted", folder=folder)


def unasked_weights(sources: Sources | None) -> Weights:
    """What an image has when nothing is said of weights."""
    if sources is None or not sources.has_weights:
        return Weights(kind="none")
    return Weights(kind="published" if sources.weights else "mounted")


def check_mounted(folder: Path, model: str, sources: Sources) -> dict[str, str]:
    """sha256 of each file that a folder to be mounted must hold, by its name; raises ModelPartsError unless they are right."""
    hashes = {}
    if sources.brought:
        return _brought(folder, sources.brought)
    for one in (*sources.weights, *sources.auxiliary):
        path = folder / one.into
        if one.unpack:
            hashes[one.into] = check_unpacked(path, one)
            continue
        if not path.is_file():
            raise ModelPartsError(
                f"{folder} does not hold {one.into}, which {model} reads. umd models fetch {model} --into BUNDLE makes such "
                f"a folder: BUNDLE/{model}/weights"
            )
        hashes[one.into] = file_sha256(path)
        if one.sha256 == UNVERIFIED:
            logger.info(
                f"UNVERIFIED: nobody has stated a sha256 for {one.into}; this one has {hashes[one.into]}, and the run says so"
            )
        elif hashes[one.into] != one.sha256:
            raise ModelPartsError(
                f"{path} has sha256 {hashes[one.into]}; the published weights of {model} have {one.sha256}. Other weights are "
                "another model: give it a Dockerfile and a sources.toml of its own"
            )
        _expect_readable(path)
    return hashes


def _brought(folder: Path, what: str) -> dict[str, str]:
    """Of all that lies in a user's own folder; what it must hold only the model itself can tell."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise ModelPartsError(f"{folder} is empty; it must hold {what}")
    for path in files:
        _expect_readable(path)
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def _expect_readable(path: Path) -> None:
    if os.getuid() == 0 and not path.stat().st_mode & stat.S_IROTH:
        raise ModelPartsError(
            f"{path} cannot be read by the container's user; chmod o+r it (and o+x its folders)"
        )


def mounted_identity(hashes: dict[str, str]) -> str:
    """What stands for mounted weights in a run's identity."""
    return f"mounted:{identity_of(hashes)[:16]}"
