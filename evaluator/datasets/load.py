"""Load a dataset by name: cases from manifest and case list, with the path of every file."""

from __future__ import annotations

import hashlib
import logging
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import DatasetError, UnknownNameError, VolumeError
from evaluator.files import file_state
from evaluator.imaging.geometry import difference
from evaluator.manifests.datasets import (
    DatasetManifest,
    dataset_manifests,
    read_dataset_manifest,
    root_of,
)
from evaluator.manifests.subject_tables import read_subject_table, subject_table_of
from evaluator.types import Case, Dataset, Modality, Reference, Scan
from evaluator.volumes import read_grid
from evaluator.volumes.volume_file import DICOM_HINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.files import FileState
    from evaluator.manifests.case_lists import Row
    from evaluator.manifests.subject_tables import Subgroups
    from zoo_sdk.wire import Grid

logger = logging.getLogger(__name__)


def dataset_names() -> list[str]:
    """Names of the project's datasets."""
    return list(dataset_manifests())


def load_dataset(
    source: str | Path, data_root: Path | None = None, remembered: Path | None = None
) -> Dataset:
    """Load a dataset; a synthetic one is generated at its first use.

    Args:
        source: name of a dataset, or path of a manifest.
        data_root: the folder that the manifest's paths are relative to; by default see
            ``evaluator.manifests.datasets.root_of``.
        remembered: the folder in which an earlier run found the files.

    Raises:
        UnknownNameError: there is no such dataset; the message suggests similar names.
        ManifestError: the manifest or its case list is invalid.
        DatasetError: the folder of the files was not found, or the data are not released, or
            ``data_root`` is given for a dataset that is generated.
    """
    manifest = read_dataset_manifest(manifest_path(source))
    logger.debug(f"dataset {manifest.name}: manifest {manifest.path}")
    if manifest.unreleased:
        raise DatasetError(f"{manifest.name}: {manifest.unreleased}")
    if manifest.phantom:
        # loads scipy.ndimage, which no other dataset needs
        from evaluator.datasets.phantom import generate, version

        plan = hashlib.sha256(f"{manifest.sha256} {version()}".encode()).hexdigest()
        folder = paths.cache() / "data" / f"{manifest.name}-{plan[:12]}"
        if data_root is not None:
            raise DatasetError(
                f"{manifest.name} is generated in {paths.cache() / 'data'} and has no files below "
                f"{data_root}; leave --data-root out"
            )
        generate(manifest, folder)
        manifest = read_dataset_manifest(folder / f"{manifest.name}.toml")
        remembered = None
    root = root_of(manifest, data_root, remembered)
    return Dataset(
        name=manifest.name,
        title=manifest.title,
        license=manifest.license,
        citation=manifest.citation,
        synthetic=manifest.synthetic,
        reference_origin=manifest.reference_origin,
        cases=_cases(manifest, root),
        sha256=manifest.sha256,
        circular=manifest.circular,
        expected=manifest.expected,
        root=root,
        subgroups=_subgroups(manifest),
    )


def load_dataset_of_run(source: str, root: Path | None, remembered: Path | None) -> Dataset:
    """Load the dataset of a run from its record.

    Args:
        source: the recorded name of the dataset, or the path of its manifest.
        root: the recorded ``data_root``, or the folder to which the files were moved since.
        remembered: the folder in which the run found the files.

    Raises:
        UserError: as ``load_dataset``.
    """
    return load_dataset(source, root_for(source, root), remembered)


def root_for(source: str | Path, root: Path | None) -> Path | None:
    """The folder of the user's files for one of several datasets; None if it is generated."""
    if root is None or read_dataset_manifest(manifest_path(source)).phantom:
        return None
    return root


def manifest_path(source: str | Path) -> Path:
    """The manifest of a dataset by name or path; raises UnknownNameError."""
    path = Path(source)
    if path.suffix == ".toml":
        return path
    manifests = dataset_manifests()
    if str(source) not in manifests:
        raise UnknownNameError("dataset", str(source), manifests)
    return manifests[str(source)]


def load_subgroups(source: str | Path) -> Subgroups:
    """The table of subjects of a dataset, without looking for its images.

    Args:
        source: name of a dataset, or path of a manifest.

    Raises:
        UnknownNameError, ManifestError: as ``load_dataset``.
    """
    return _subgroups(read_dataset_manifest(manifest_path(source)))


def _subgroups(manifest: DatasetManifest) -> Subgroups:
    path = subject_table_of(manifest.path, manifest.subjects)
    return read_subject_table(path) if path else {}


def scan_problem(scan: Scan) -> str | None:
    """Why a scan allows no fair evaluation, by the headers of its files; None if it does."""
    for path in (scan.image, *(reference.path for reference in scan.references)):
        if path.is_dir():
            return f"{path} is a folder, where one file is expected{DICOM_HINT}"
        if not path.is_file():
            return f"{path} is missing"
    try:
        grid = _grid_of(scan.image, file_state(scan.image))
        for reference in scan.references:
            reference_grid = _grid_of(reference.path, file_state(reference.path))
            if mismatch := difference(grid, reference_grid):
                return f"image and reference do not match: {mismatch}"
    except (VolumeError, OSError) as error:
        return str(error)
    return None


@lru_cache(maxsize=65536)
def _grid_of(path: Path, _state: FileState) -> Grid:
    """As ``read_grid``; a header is read again only if the state of its file has changed."""
    return read_grid(path)


def _cases(manifest: DatasetManifest, root: Path) -> tuple[Case, ...]:
    rows_of_cases: dict[str, dict[Modality, list[Row]]] = {}
    for row in manifest.rows:
        rows_of_cases.setdefault(row.case, {}).setdefault(row.modality, []).append(row)
    cases = []
    for rows_of_scans in rows_of_cases.values():
        first = next(iter(rows_of_scans.values()))[0]
        cases.append(
            Case(
                subject=first.subject,
                session=first.session,
                split=first.split,
                scans={modality: _scan(rows, root) for modality, rows in rows_of_scans.items()},
            )
        )
    return tuple(cases)


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


def choose_cases(dataset: Dataset, patterns: Sequence[str]) -> list[Case]:
    """The cases whose id or subject matches a pattern.

    Args:
        dataset: the dataset.
        patterns: shell patterns; empty for all cases.

    Raises:
        UnknownNameError: no case matches.
    """
    if not patterns:
        return list(dataset.cases)
    chosen = [case for case in dataset.cases if _matches(case, patterns)]
    if not chosen:
        raise UnknownNameError("case", ", ".join(patterns), [case.id for case in dataset.cases])
    return chosen


def limit_subjects(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """All cases of the first subjects.

    Args:
        cases: in the dataset's order.
        limit: number of subjects; None for all.
    """
    subjects = list(dict.fromkeys(case.subject for case in cases))[:limit]
    chosen = set(subjects)
    return [case for case in cases if case.subject in chosen]


def _matches(case: Case, patterns: Sequence[str]) -> bool:
    return any(
        fnmatchcase(case.id, pattern) or fnmatchcase(case.subject, pattern) for pattern in patterns
    )
