"""Dataset manifests: ``manifests/datasets/<name>.toml`` with its case list ``<name>.tsv``, or such a pair anywhere.

A manifest holds facts and relative paths, never data. Where the files lie on a machine is found by ``root_of``.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evaluator import paths
from evaluator.errors import DatasetError, ManifestError
from evaluator.manifests.case_lists import Name, Row, read_case_list


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


LabelValues = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_one_or_more), Field(min_length=1)
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Root(_Table):
    """Where the files lie: below the folder that an environment variable names, else beside the manifest."""

    variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")
    folder: str = "."


class PhantomPlan(_Table):
    """What the synthetic generator makes: subjects alternate between PET/CT and PET/MR."""

    cases: int = Field(ge=1, le=10_000)
    #: voxels of the CT or MR along right, anterior, superior; PET has its own coarser grid
    size: tuple[
        Annotated[int, Field(ge=8, le=1024)],
        Annotated[int, Field(ge=8, le=1024)],
        Annotated[int, Field(ge=8, le=2048)],
    ]
    seed: int = Field(default=0, ge=0)


class DatasetManifest(_Table):
    """A manifest as read; ``path`` is where it was, ``sha256`` that of its text and the case list's."""

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
    #: file of the case list beside the manifest; None: the manifest's own name with .tsv
    cases: str | None = None
    root: Root = Root()
    #: label tables that rows name as @table: target -> value or values
    labels: dict[str, dict[Name, LabelValues]] = {}
    #: set for data that are generated; there is no case list then
    phantom: PhantomPlan | None = None


def dataset_manifests() -> dict[str, Path]:
    """The project's datasets: name -> manifest, sorted by name."""
    return {
        path.stem: path
        for path in sorted((paths.project() / "manifests" / "datasets").glob("*.toml"))
    }


def read_dataset_manifest(path: Path) -> DatasetManifest:
    """Read a manifest and its case list. Raises ManifestError naming file, and line and column or field."""
    text = _read_bytes(path)
    try:
        content = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML: {error}") from None
    if reserved := {"path", "sha256", "rows"} & content.keys():
        raise ManifestError(f"{path}: unknown field {', '.join(sorted(reserved))}")
    try:
        manifest = DatasetManifest.model_validate(
            {**content, "path": path, "sha256": hashlib.sha256(text).hexdigest()}
        )
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ManifestError("\n  ".join([f"{path}:", *faults])) from None
    if manifest.phantom:
        return manifest
    case_list = path.parent / (manifest.cases or f"{path.stem}.tsv")
    rows = read_case_list(case_list, manifest.labels)
    both = hashlib.sha256(text + b"\0" + _read_bytes(case_list)).hexdigest()
    return manifest.model_copy(update={"rows": rows, "sha256": both})


def root_of(manifest: DatasetManifest, data_root: Path | None) -> Path:
    """The folder that rows' paths are relative to: below ``data_root``, the manifest's variable, ``UMD_DATA``, or beside it.

    Of those that are set it is the first that holds an image of the list; where none does, the first that is a folder, so
    that what is missing is told file by file. Raises DatasetError that says what to set where there is none.
    """
    tried = [
        ((base / manifest.root.folder).resolve(), said)
        for base, said in _bases(manifest, data_root)
    ]
    folders = [root for root, _ in tried if root.is_dir()]
    for root in folders:
        if any((root / row.image).exists() for row in manifest.rows):
            return root
    if folders:
        return folders[0]
    looked = (
        "; ".join(f"{root} is no folder ({said})" for root, said in tried)
        or "nothing says where they are"
    )
    wanted = " or ".join(dict.fromkeys([manifest.root.variable or "UMD_DATA", "UMD_DATA"]))
    raise DatasetError(
        f"the data of {manifest.name} are not here: {looked}. "
        f"Give --data-root or set {wanted} to the folder that holds {manifest.root.folder!r}."
    )


def _bases(manifest: DatasetManifest, data_root: Path | None) -> list[tuple[Path, str]]:
    """Where a dataset may lie, and who says so, the first word first."""
    if data_root is not None:
        return [(data_root, "from --data-root")]
    variable = manifest.root.variable
    named = dict.fromkeys(filter(None, (variable, "UMD_DATA")))
    bases = [(Path(value), f"from {name}") for name in named if (value := os.environ.get(name))]
    if variable == "UMD_SHARED_DATA":
        bases.append(
            (
                paths.shared_data(),
                f"{variable} is {'set' if os.environ.get(variable) else 'not set'}",
            )
        )
    elif not variable:
        bases.append((manifest.path.parent, "beside the manifest"))
    return bases


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
