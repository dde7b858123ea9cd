"""Whether a bundle holds all that a build needs, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import ModelFilesError
from evaluator.zoo.bundles import Bundle, download_key
from evaluator.zoo.saved_images import holds_base

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from evaluator.zoo.bundles import Part
    from evaluator.zoo.wheels import ImagePlatform


def require_complete(
    root: Path, bundle: Bundle | None, parts: Collection[Part], bases: Sequence[_Base]
) -> None:
    """Check that a bundle holds every file; hashes are checked when the files are used.

    Args:
        root: the folder that the user gave.
        bundle: the model's folder in it; None for a model that needs no fetched files.
        parts: what the image is built from.
        bases: base images that this machine does not have, each with its platform.

    Raises:
        ModelFilesError: something is missing; the message lists all of it.
    """
    if not root.is_dir():
        what = "all files of the model are missing from it" if bundle else "nothing can be in it"
        raise ModelFilesError(f"the bundle {root} does not exist: {what}.{_advice(bundle)}")
    missing = missing_files(bundle, parts) if bundle else []
    if not missing:
        return
    for name, image in bases:
        if not holds_base(root, name, image):
            missing.append(f"base image umd/{name} for {image.name}")
    lines = "\n  ".join(missing)
    raise ModelFilesError(
        f"the bundle {root} does not have everything. Missing:\n  {lines}\n{_advice(bundle)}"
    )


_Base = tuple[str, "ImagePlatform"]


def missing_files(bundle: Bundle, parts: Collection[Part]) -> list[str]:
    """What a bundle lacks of these parts, as texts; files are not read."""
    record, missing = bundle.record(), []
    if "packages" in parts and bundle.lock:
        key = f"wheels/{bundle.image.name}"
        if record.get(key, {}).get("lock") != bundle.lock_sha256:
            missing.append(f"Python packages ({bundle.model}/{key})")
    if "upstream" in parts:
        for upstream in bundle.sources.upstream:
            key = f"upstream/{upstream.file}"
            if key not in record or not (bundle.folder / key).is_file():
                missing.append(f"source {bundle.model}/{key}")
    for part in parts:
        for download in bundle.downloads(part):
            if download_key(download) not in record or not _is_there(bundle, download.into):
                missing.append(f"weights {bundle.model}/weights/{download.into}")
    return missing


def _is_there(bundle: Bundle, into: str) -> bool:
    return (bundle.weights / into).exists()


def _advice(bundle: Bundle | None) -> str:
    if bundle is None:
        return ""
    return (
        f" On a machine with a network: umd models fetch {bundle.model} --into BUNDLE "
        f"--flavour {bundle.image.flavour}. docs/zoo.md says where files that are carried by hand go."
    )
