"""A case as a protocol shows it: its images on their grids, or resampled to a common one.

Resampled files lie in the cache. Their folder's name is a hash of the source files, the plan and
the version of the rules. The first call for a case writes them, later calls find them.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.datasets.resampled_references import write_resampled
from evaluator.errors import VolumeError
from evaluator.files import fingerprint
from evaluator.imaging.image_resampling import blur_image, resample_image, respaced_grid
from evaluator.locks import file_lock
from evaluator.types import ImagePlan
from evaluator.volumes import read_grid, read_image, write_volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.types import Case, Modality, Protocol, Scan
    from zoo_sdk.wire import Grid

#: increased when a rule of resampling changes
RULES = 1
OWN = ImagePlan()


def planned_case(case: Case, protocol: Protocol, seed: int | None = None) -> Case:
    """The case with the images and references that a protocol shows under a seed.

    Args:
        case: the case with the dataset's files.
        protocol: its image plan.
        seed: one of the protocol's seeds; None: its first.

    Returns:
        The case itself if every image keeps its grid.

    Raises:
        VolumeError: a file cannot be read, or the case lacks the image whose grid is common.
        HostError: the cache cannot be written.
    """
    plan = protocol.images_of(protocol.seeds[0] if seed is None else seed)
    if plan.grid == "own":
        return case
    source = common_modality(case, plan, protocol.prompts.anchor)
    grid = read_grid(case.scans[source].image)
    if plan.spacing_mm is not None:
        grid = respaced_grid(grid, plan.spacing_mm)
    scans = {
        modality: scan if _keeps(scan, source, plan) else _resampled(scan, grid, plan)
        for modality, scan in case.scans.items()
    }
    return replace(case, scans=scans)


def plan_problem(case: Case, protocol: Protocol) -> str | None:
    """Why a case cannot be shown as planned, without reading its files; None if it can."""
    try:
        for seed in protocol.seeds:
            plan = protocol.images_of(seed)
            if plan.grid == "common":
                common_modality(case, plan, protocol.prompts.anchor)
    except VolumeError as error:
        return str(error)
    return None


def common_modality(case: Case, plan: ImagePlan, anchors: Sequence[Modality]) -> Modality:
    """The modality whose grid is common; raises VolumeError if the case has none of them."""
    wanted = tuple(anchors) if plan.grid_of == "anchor" else (plan.grid_of,)
    for modality in wanted:
        if modality in case.scans:
            return modality
    raise VolumeError(
        f"{case.id} has no {' or '.join(wanted)} image, whose grid all images are to have"
    )


def _keeps(scan: Scan, source: Modality, plan: ImagePlan) -> bool:
    """Whether a scan has the common grid already; such a scan is neither blurred nor copied."""
    return scan.modality == source and plan.spacing_mm is None


def _resampled(scan: Scan, grid: Grid, plan: ImagePlan) -> Scan:
    folder = _folder(scan, grid, plan)
    image = folder / "image.nii.gz"
    paths_of_references = [
        folder / f"reference-{number}.nii.gz" for number in range(len(scan.references))
    ]
    if not all(path.is_file() for path in (image, *paths_of_references)):
        # two scans of a case may be evaluated at the same time, by threads or by shards
        with file_lock(folder / "lock", "umd"):
            if not image.is_file():
                _write_image(scan, grid, plan, image)
            for reference, path in zip(scan.references, paths_of_references, strict=True):
                if not path.is_file():
                    write_resampled(reference.path, reference.labels, grid, path)
    references = []
    for reference, path in zip(scan.references, paths_of_references, strict=True):
        references.append(replace(reference, path=path, sha256=None))
    return replace(scan, image=image, references=tuple(references), sha256=None)


def _folder(scan: Scan, grid: Grid, plan: ImagePlan) -> Path:
    files = []
    for path in (scan.image, *(reference.path for reference in scan.references)):
        try:
            status = path.stat()
        except OSError as error:
            raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
        files.append([str(path), status.st_size, status.st_mtime_ns])
    labels = [dict(reference.labels) for reference in scan.references]
    body = {
        "rules": RULES,
        "files": files,
        "labels": labels,
        "grid": asdict(grid),
        "plan": asdict(plan),
        "modality": scan.modality,
    }
    return paths.cache() / "resampled" / fingerprint(body)[:24]


def _write_image(scan: Scan, grid: Grid, plan: ImagePlan, path: Path) -> None:
    image, source = read_image(scan.image)
    if plan.blur_fwhm_mm and scan.modality != "PT":
        image = blur_image(image, source, plan.blur_fwhm_mm)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, resample_image(image, source, grid), grid)
