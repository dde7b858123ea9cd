"""Convert what was planned: images and masks to the store, each once."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluator.datasets.dicom.contours import read_structures, structure_mask
from evaluator.datasets.dicom.headers import require_unchanged
from evaluator.datasets.dicom.reading import read_dataset
from evaluator.datasets.dicom.segmentations import segment_masks
from evaluator.datasets.dicom.store import PRIVATE, Store
from evaluator.datasets.dicom.voxels import read_voxels
from evaluator.datasets.dicom.workers import map_tasks
from evaluator.datasets.importing.found import FoundReference, FoundScan, LeftOut
from evaluator.errors import VolumeError
from evaluator.files import fingerprint, read_json, write_json
from evaluator.imaging.grid_masks import crop_mask
from evaluator.imaging.mask_resampling import resample_mask
from evaluator.volumes import read_labels, write_mask, write_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.headers import Header
    from evaluator.datasets.dicom.plan import PlannedImage, PlannedReference

#: increased when a conversion gives other files than before
CONVERSION = 1
#: with fewer files, one process converts them all
FEW_FILES = 600


@dataclass(slots=True)
class Converted:
    """The scans of a session, what failed, and what a user should know."""

    scans: list[FoundScan] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert_images(
    root: Path,
    store: Store,
    images: Sequence[PlannedImage],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Converted:
    """Convert the images of all sessions and their references.

    Files of the store that were made of the same sources stay as they are.

    Args:
        root: the study tree.
        store: where files go.
        images: as planned.
        workers: processes; None for one on each core.
        progress: is told the number of sessions that are done, and of all.

    Raises:
        HostError: a file cannot be written.
    """
    sessions: dict[str, list[PlannedImage]] = defaultdict(list)
    for image in images:
        sessions[image.folder].append(image)
    tasks = [(root, store, session) for session in sessions.values()]
    files = sum(len(image.volume.stack.headers) for image in images)
    processes = 1 if files < FEW_FILES else min(workers or os.cpu_count() or 1, len(tasks))
    everything = Converted()
    with closing(map_tasks(_convert_session, tasks, processes)) as results:
        for done, result in enumerate(results, start=1):
            everything.scans += result.scans
            everything.left_out += result.left_out
            everything.notes += result.notes
            progress(done, len(tasks))
    everything.scans.sort(key=lambda scan: scan.key)
    return everything


def _convert_session(task: tuple[Path, Store, list[PlannedImage]]) -> Converted:
    root, store, images = task
    result = Converted()
    for image in sorted(images, key=lambda image: image.anchor is not None):
        try:
            _convert_image(root, store, image)
        except VolumeError as error:
            result.left_out.append(LeftOut(path=store.folder / image.image, reason=str(error)))
            continue
        references = _references(root, store, image, result)
        if references:
            scan = FoundScan(
                subject=image.subject,
                session=image.session,
                modality=image.volume.modality,
                image=store.folder / image.image,
                grid=image.volume.stack.grid,
                references=tuple(references),
            )
            result.scans.append(scan)
        else:
            reason = "none of its references could be converted"
            result.left_out.append(LeftOut(path=store.folder / image.image, reason=reason))
    return result


def _convert_image(root: Path, store: Store, image: PlannedImage) -> None:
    """Write an image, and which files it was made of.

    Raises:
        VolumeError: its voxels cannot be converted.
    """
    headers = image.volume.stack.headers
    content = {
        "root": str(root.resolve()),
        "files": list(dict.fromkeys(header.path for header in headers)),
        "made_of": _made_of(headers),
    }
    if _is_made(store, image.image, content):
        return
    path = store.folder / image.image
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = read_voxels(root, image.volume.stack)
    require_unchanged(root, headers)
    write_volume(path, voxels.array, image.volume.stack.grid)
    _record(store, image.image, {**content, "way": voxels.way})


def _references(
    root: Path, store: Store, image: PlannedImage, result: Converted
) -> list[FoundReference]:
    """Write the masks of an image; failures are added to the result."""
    written: list[FoundReference] = []
    if image.anchor is not None:
        return _resampled(store, image, result)
    by_file: dict[str, list[PlannedReference]] = defaultdict(list)
    for reference in image.references:
        by_file[reference.header.path].append(reference)
    for references in by_file.values():
        missing = [
            reference
            for reference in references
            if not _is_made(store, image.mask(reference.target), _mask_content(image, reference))
        ]
        problems = _write_masks(root, store, image, missing, result) if missing else {}
        for reference in references:
            path = store.folder / image.mask(reference.target)
            if reason := problems.get(reference.target):
                result.left_out.append(LeftOut(path=path, reason=reason))
            else:
                written.append(FoundReference(path=path, labels={reference.target: (1,)}))
    return written


def _write_masks(
    root: Path,
    store: Store,
    image: PlannedImage,
    references: Sequence[PlannedReference],
    result: Converted,
) -> dict[str, str]:
    """Write the masks of one object.

    Returns:
        target -> why it has no mask.
    """
    problems: dict[str, str] = {}
    header, grid = references[0].header, image.volume.stack.grid
    try:
        dataset = read_dataset(root / header.path, pixels=header.kind == "segmentation")
        if header.kind == "segmentation":
            numbers = [reference.number for reference in references]
            segments = segment_masks(dataset, numbers, grid)
        else:
            structures = read_structures(dataset, b"").structures
        require_unchanged(root, [header])
    except VolumeError as error:
        return {reference.target: str(error) for reference in references}
    for reference in references:
        notes: tuple[str, ...] = ()
        try:
            if header.kind == "segmentation":
                mask = segments[reference.number]
                if mask.empty:
                    raise VolumeError("the segment is empty")
            else:
                mask, notes = structure_mask(structures[reference.number], grid)
        except VolumeError as error:
            problems[reference.target] = str(error)
            continue
        name = image.mask(reference.target)
        write_mask(store.folder / name, mask, grid)
        _record(store, name, _mask_content(image, reference))
        result.notes += [f"{name}: {note}" for note in notes]
    return problems


def _resampled(store: Store, image: PlannedImage, result: Converted) -> list[FoundReference]:
    """Write the masks of the session's other image on this image's grid."""
    references: list[FoundReference] = []
    anchors = [scan for scan in result.scans if scan.modality == image.anchor]
    for reference in anchors[0].references if anchors else ():
        target = next(iter(reference.labels))
        path = store.folder / image.mask(target)
        labels, grid = read_labels(reference.path)
        mask = resample_mask(crop_mask(labels != 0, grid), image.volume.stack.grid)
        if mask.empty:
            reason = f"nothing of the {image.anchor}'s reference is left on this grid"
            result.left_out.append(LeftOut(path=path, reason=reason))
            continue
        write_mask(path, mask, image.volume.stack.grid)
        references.append(FoundReference(path=path, labels={target: (1,)}))
    return references


def _made_of(headers: Sequence[Header]) -> str:
    files = [[header.path, header.size, header.changed, header.number] for header in headers]
    return fingerprint({"conversion": CONVERSION, "files": files})


def _mask_content(image: PlannedImage, reference: PlannedReference) -> dict[str, Any]:
    grid = _made_of(image.volume.stack.headers)
    return {"made_of": f"{grid} {_made_of([reference.header])} {reference.number}"}


def _record_path(store: Store, name: str) -> Path:
    return store.folder / PRIVATE / "sources" / f"{name}.json"


def _record(store: Store, name: str, content: dict[str, Any]) -> None:
    write_json(_record_path(store, name), content)


def _is_made(store: Store, name: str, content: dict[str, Any]) -> bool:
    """Whether a file of the store was made of these sources."""
    record = _record_path(store, name)
    if not (store.folder / name).is_file() or not record.is_file():
        return False
    recorded = read_json(record)
    return all(recorded.get(key) == value for key, value in content.items())
