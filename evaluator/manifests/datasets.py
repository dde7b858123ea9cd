"""Dataset manifests: ``<name>.toml`` with a case list ``<name>.tsv``.

Those of the project are in ``manifests/datasets``. A manifest contains properties and relative
paths, never data; ``root_of`` finds the files on this machine.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import DatasetError, ManifestError
from evaluator.manifests.case_lists import NAME, Name, Row, name_rule, read_case_list
from evaluator.manifests.faults import describe_fault
from evaluator.types import ExpectedCounts

logger = logging.getLogger(__name__)


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


LabelValues = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_one_or_more), Field(min_length=1)
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Root(_Table):
    """Where the files are: in a folder set by an environment variable, else beside the manifest."""

    variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    folder: str = "."


class PhantomPlan(_Table):
    """Settings of the synthetic generator; subjects alternate between PET/CT and PET/MR."""

    cases: int = Field(ge=1, le=10_000)
    #: voxels of the CT or MR along right, anterior, superior; the grid of PET is coarser
    size: tuple[
        Annotated[int, Field(ge=8, le=1024)],
        Annotated[int, Field(ge=8, le=1024)],
        Annotated[int, Field(ge=8, le=2048)],
    ]
    seed: int = Field(default=0, ge=0)


class DebianPackage(_Table):
    """A Debian package that contains the files; ``umd data fetch`` gets them."""

    package: str = Field(pattern=r"^[a-z0-9][a-z0-9.+-]+$")
    #: the folder in the package that paths are relative to
    folder: str = Field(pattern=r"^[^/].*[^/]$")


class DatasetManifest(_Table):
    """A manifest; ``path`` is its file, ``sha256`` the hash of its text and of the case list."""

    path: Path
    sha256: str
    rows: tuple[Row, ...] = ()

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    description: str = ""
    license: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    synthetic: bool
    reference_origin: str = Field(min_length=1)
    #: file of the case list beside the manifest; None: the manifest's name with .tsv
    cases: str | None = None
    #: file of the table of subjects beside the manifest; None: the manifest's name with
    #: .subjects.tsv, if it is there
    subjects: str | None = None
    root: Root = Root()
    #: models whose output, or whose training data, the references are
    circular: tuple[str, ...] = ()
    #: counts of a complete copy
    expected: ExpectedCounts | None = None
    #: label tables, to which rows refer as @table: target -> value or values
    labels: dict[str, dict[Name, LabelValues]] = {}
    #: the package with the files, if Debian has them
    debian: DebianPackage | None = None
    #: why there is no case list yet, and what to do once the data are there
    unreleased: str = ""
    #: only for generated data, which have no case list
    phantom: PhantomPlan | None = None


def dataset_manifests() -> dict[str, Path]:
    """The project's datasets: name -> manifest, sorted by name."""
    return {
        path.stem: path
        for path in sorted((paths.project() / "manifests" / "datasets").glob("*.toml"))
    }


def read_dataset_manifest(path: Path) -> DatasetManifest:
    """Read a manifest and its case list.

    Raises:
        ManifestError: a file is invalid; the message names it and each line and column, or field.
    """
    text = _read_bytes(path)
    try:
        content = tomllib.loads(text.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None
    if reserved := {"path", "sha256", "rows"} & content.keys():
        raise ManifestError(f"{path}: unknown field {', '.join(sorted(reserved))}")
    try:
        manifest = DatasetManifest.model_validate(
            {**content, "path": path, "sha256": hashlib.sha256(text).hexdigest()}
        )
    except ValidationError as error:
        raise ManifestError("\n  ".join([f"{path}:", *map(_describe, error.errors())])) from None
    if manifest.phantom or manifest.unreleased:
        return manifest
    case_list = path.parent / (manifest.cases or f"{path.stem}.tsv")
    rows = read_case_list(case_list, manifest.labels)
    sha256 = hashlib.sha256(text + b"\0" + _read_bytes(case_list)).hexdigest()
    return manifest.model_copy(update={"rows": rows, "sha256": sha256})


def fetched_folder(name: str) -> Path:
    """Where ``umd data fetch`` puts the files of a dataset."""
    return paths.cache() / "data" / name


def _describe(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME:
        return f"{place}: {name_rule(str(fault['input']))}"
    return describe_fault(fault)


def root_of(
    manifest: DatasetManifest, data_root: Path | None, remembered: Path | None = None
) -> Path:
    """The folder that the paths of the rows are relative to.

    Candidates are ``data_root``, the folder of an earlier run, the manifest's variable,
    ``UMD_DATA``, and the manifest's folder. The first one that contains an image of the list is
    taken; if none does, the first that is a folder, so that messages name each missing file.

    Args:
        manifest: the dataset.
        data_root: the user's choice, the folder itself or one that contains it; no other folder is
            considered, unless one is remembered.
        remembered: the folder in which an earlier run found the files.

    Raises:
        DatasetError: no candidate is a folder; the message says what to set.
    """
    folder = manifest.root.folder
    candidates = [
        ((base / folder).resolve(), origin) for base, origin in _bases(manifest, data_root)
    ]
    if data_root is not None:
        # the folder itself may be meant; a manifest of an import has an absolute one
        if Path(folder).is_absolute():
            candidates = []
        if remembered or not candidates or _has_image(manifest, data_root):
            candidates.append((data_root.resolve(), "from --data-root"))
    if remembered is not None:
        place = len(candidates) if data_root is not None else 0
        candidates.insert(place, (remembered, "where the run found them"))
        if data_root is not None:
            rules = _bases(manifest, None)
            candidates += [((base / folder).resolve(), why) for base, why in rules]
    origins: dict[Path, str] = {}
    for root, origin in candidates:
        origins.setdefault(root, origin)
    folders = [root for root in origins if root.is_dir()]
    for root in folders:
        if _has_image(manifest, root):
            logger.debug(f"the files of {manifest.name} are in {root}")
            return root
    if folders:
        logger.debug(f"{folders[0]} contains no image of {manifest.name}")
        return folders[0]
    tried = "; ".join(f"{root} is not a folder ({origin})" for root, origin in origins.items())
    if Path(folder).is_absolute():
        raise DatasetError(
            f"the data of {manifest.name} were not found: {tried}. If they have moved, give their "
            "folder with --data-root, or correct [root] folder in the manifest."
        )
    variables = " or ".join(dict.fromkeys([manifest.root.variable or "UMD_DATA", "UMD_DATA"]))
    raise DatasetError(
        f"the data of {manifest.name} were not found: {tried or 'no location is set'}. "
        f"Use --data-root or set {variables} to the folder that contains "
        f"{folder!r}." + (f" Or: umd data fetch {manifest.name}" if manifest.debian else "")
    )


def _has_image(manifest: DatasetManifest, root: Path) -> bool:
    return any((root / row.image).exists() for row in manifest.rows)


def _bases(manifest: DatasetManifest, data_root: Path | None) -> list[tuple[Path, str]]:
    """Possible locations of a dataset, each with its origin, in order of precedence."""
    if data_root is not None:
        return [(data_root, "from --data-root")]
    variable = manifest.root.variable
    variables = dict.fromkeys(filter(None, (variable, "UMD_DATA")))
    bases = [(Path(value), f"from {name}") for name in variables if (value := os.environ.get(name))]
    if variable == "UMD_SHARED_DATA":
        state = "set" if os.environ.get(variable) else "not set"
        bases.append((paths.shared_data(), f"{variable} is {state}"))
    elif manifest.debian:
        bases.append((fetched_folder(manifest.name), "from umd data fetch"))
    elif not variable:
        bases.append((manifest.path.parent, "beside the manifest"))
    return bases


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
