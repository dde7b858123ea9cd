"""From a name to a dataset: manifest and case list become cases, with every file's place on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.types import Case, Dataset, Modality

import hashlib
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.datasets.phantom import generate, version
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import difference
from evaluator.manifests.datasets import (
    DatasetManifest,
    dataset_manifests,
    read_dataset_manifest,
    root_of,
)
from evaluator.types import Case, Dataset, Modality, Reference, Scan
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from evaluator.manifests.case_lists import Row


def dataset_names() -> list[str]:
    """The project's datasets."""
    return list(dataset_manifests())


def load_dataset(source: str | Path, data_root: Path | None = None) -> Dataset:
    """A dataset by name or by its manifest's path; a synthetic one is generated the first time it is asked for.

    Raises UnknownNameError with near misses, ManifestError, DatasetError when the folder of its files is not there.
    """
    path = Path(source)
    if path.suffix != ".toml":
        known = dataset_manifests()
        if str(source) not in known:
            raise UnknownNameError("dataset", str(source), known)
        path = known[str(source)]
    manifest = read_dataset_manifest(path)
    if manifest.phantom:
        plan = hashlib.sha256(f"{manifest.sha256} {version()}".encode()).hexdigest()
        made = paths.cache() / "data" / f"{manifest.name}-{plan[:12]}"
        generate(manifest, made)
        manifest = read_dataset_manifest(made / f"{manifest.name}.toml")
        data_root = None
    return Dataset(
        name=manifest.name,
        title=manifest.title,
        license=manifest.license,
        citation=manifest.citation,
        synthetic=manifest.synthetic,
        reference_origin=manifest.reference_origin,
        cases=_cases(manifest, root_of(manifest, data_root)),
        sha256=manifest.sha256,
    )


def scan_problem(scan: Scan) -> str | None:
    """Why no fair question can be asked about a scan, from the headers of its files; None if there is no reason."""
    for path in (scan.image, *(reference.path for reference in scan.references)):
        if not path.is_file():
            return f"{path} is missing"
    try:
        grid = read_grid(scan.image)
        for reference in scan.references:
            if apart := difference(grid, read_grid(reference.path)):
                return f"image and reference do not match: {apart}"
    except VolumeError as error:
        return str(error)
    return None


def _cases(manifest: DatasetManifest, root: Path) -> tuple[Case, ...]:
    cases: dict[str, dict[Modality, list[Row]]] = {}
    for row in manifest.rows:
        cases.setdefault(row.case, {}).setdefault(row.modality, []).append(row)
    made = []
    for scans in cases.values():
        first = next(iter(scans.values()))[0]
        made.append(
            Case(
                subject=first.subject,
                session=first.session,
                split=first.split,
                scans={modality: _scan(rows, root) for modality, rows in scans.items()},
            )
        )
    return tuple(made)


def _scan(rows: list[Row], root: Path) -> Scan:
    references = tuple(
        Reference(path=root / row.reference, labels=row.labels, sha256=row.reference_sha256)
        for row in rows
    )
    first = rows[0]
    return Scan(
        modality=first.modality,
        image=root / first.image,
        unit=first.unit,
        references=references,
        sha256=first.sha256,
    )


def choose_cases(dataset: Dataset, wanted: Sequence[str]) -> list[Case]:
    """The dataset's cases whose id or subject is among those wanted (shell patterns); all, if none is named."""
    from fnmatch import fnmatchcase

    if not wanted:
        return list(dataset.cases)
    chosen = [
        case
        for case in dataset.cases
        if any(
            fnmatchcase(case.id, pattern) or fnmatchcase(case.subject, pattern)
            for pattern in wanted
        )
    ]
    if not chosen:
        raise UnknownNameError("case", ", ".join(wanted), [case.id for case in dataset.cases])
    return chosen
