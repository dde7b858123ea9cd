"""What an import would make of a study tree: sessions, images, references. Nothing is converted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.contours import read_structures
from evaluator.datasets.dicom.reading import read_dataset, text_of
from evaluator.datasets.dicom.segmentations import read_segments
from evaluator.datasets.dicom.store import Pseudonyms
from evaluator.datasets.dicom.structure_names import file_name, target_name
from evaluator.datasets.dicom.volumes import Sentence, find_volumes, series_label
from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.headers import Header
    from evaluator.datasets.dicom.store import Store
    from evaluator.datasets.dicom.volumes import SeriesVolume
    from evaluator.types import Modality

#: the image whose reference is resampled to those of its session that have none
ANCHORS: tuple[Modality, ...] = ("CT", "MR", "PT")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReference:
    """A structure of an object that refers to an image."""

    target: str
    header: Header
    #: place of the structure in the RTSTRUCT, or number of the segment
    number: int


@dataclass(slots=True, kw_only=True)
class PlannedImage:
    """An image of a session, and its references."""

    subject: str
    session: str
    volume: SeriesVolume
    references: list[PlannedReference] = field(default_factory=list)
    #: the image of the session whose masks are resampled to this one, which has none
    anchor: Modality | None = None

    @property
    def folder(self) -> str:
        """The place in the store."""
        return f"{self.subject}/{self.session}"

    @property
    def image(self) -> str:
        """The image's path in the store."""
        return f"{self.folder}/{self.volume.modality}.nii.gz"

    def mask(self, target: str) -> str:
        """The path of a reference in the store."""
        return f"{self.folder}/{self.volume.modality}-{target}.nii.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that an import will convert, and what it leaves out."""

    images: tuple[PlannedImage, ...]
    #: label -> reason, with pseudonyms
    left_out: tuple[Sentence, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Planner:
    root: Path
    key: bytes
    names: Pseudonyms
    volumes: list[SeriesVolume]
    left_out: list[Sentence]
    notes: list[str] = field(default_factory=list)
    references: dict[int, list[PlannedReference]] = field(default_factory=dict)

    def leave_out(self, headers: Sequence[Header], reason: str) -> None:
        sentence = Sentence(
            subject=headers[0].subject,
            label=series_label(headers[0]),
            reason=reason,
            files=tuple(dict.fromkeys(header.path for header in headers)),
        )
        self.left_out.append(sentence)

    def note(self, header: Header, text: str) -> None:
        self.notes.append(f"{self.names.subject(header.subject)} {series_label(header)}: {text}")


def make_plan(root: Path, store: Store, headers: Sequence[Header]) -> Plan:
    """Find the sessions of a study tree.

    Args:
        root: the tree.
        store: its private folder keeps the pseudonyms.
        headers: the index.
    """
    volumes, sentences = find_volumes(root, headers)
    names = Pseudonyms(store)
    names.add_subjects(header.subject for header in headers if header.subject)
    planner = _Planner(root, store.key(), names, volumes, sentences)
    for header in headers:
        if not header.problem and header.kind in ("contours", "segmentation"):
            _add_references(planner, header)
    images = _sessions(planner)
    names.save()
    for image in images:
        for text in image.volume.stack.notes:
            planner.note(image.volume.header, text)
    return Plan(
        images=tuple(images),
        left_out=tuple(_named(entry, names) for entry in planner.left_out),
        notes=tuple(planner.notes),
    )


def _named(entry: Sentence, names: Pseudonyms) -> Sentence:
    subject = names.subject(entry.subject) if entry.subject else ""
    label = f"{subject} {entry.label}".strip()
    return Sentence(subject=subject, label=label, reason=entry.reason, files=entry.files)


def _add_references(planner: _Planner, header: Header) -> None:
    """Match the structures of an object with the volume they were drawn on."""
    try:
        dataset = read_dataset(planner.root / header.path)
        if header.kind == "contours":
            content = read_structures(dataset, planner.key, points=False)
            structures = dict(enumerate(entry.name for entry in content.structures))
            series, instances = content.series, content.instances
        else:
            segments = read_segments(dataset, planner.key)
            structures, series, instances = segments.names, segments.series, segments.instances
    except VolumeError as error:
        planner.leave_out([header], str(error))
        return
    number = _volume_of(planner.volumes, header.subject, series, instances)
    if number is None:
        images = [
            entry
            for entry in planner.left_out
            if entry.subject == header.subject and entry.label.endswith(("(CT)", "(MR)", "(PT)"))
        ]
        hint = f"; left out is {images[0].label}: {images[0].reason}" if images else ""
        planner.leave_out(
            [header], f"the images that it was drawn on are not among the volumes{hint}"
        )
        return
    references = planner.references.setdefault(number, [])
    for place, name in structures.items():
        target = target_name(name, dataset, place)
        if target != file_name(name):
            planner.note(header, f"a structure's name may hold an identifier; it is {target} here")
        if any(entry.target.lower() == target.lower() for entry in references):
            planner.leave_out([header], f"a second structure {target} of the same image")
            continue
        references.append(PlannedReference(target=target, header=header, number=place))


def _volume_of(
    volumes: Sequence[SeriesVolume],
    subject: str,
    series: frozenset[str],
    instances: frozenset[str],
) -> int | None:
    """The volume with most of the images that a reference names, else of the series it names."""
    best: tuple[int, int] | None = None
    for number, volume in enumerate(volumes):
        if volume.header.subject != subject:
            continue
        slices = {header.instance for header in volume.stack.headers}
        if not slices & instances and volume.header.series not in series:
            continue
        rank = (len(slices & instances), -number)
        best = max(best, rank) if best else rank
    return None if best is None else -best[1]


def _sessions(planner: _Planner) -> list[PlannedImage]:
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, volume in enumerate(planner.volumes):
        groups[volume.header.subject, volume.session_key].append(number)
    images: list[PlannedImage] = []
    for (subject, key), numbers in _in_order(planner, groups):
        if not any(planner.references.get(number) for number in numbers):
            for number in numbers:
                reason = "no RTSTRUCT or DICOM-SEG refers to an image of its session"
                planner.leave_out(planner.volumes[number].stack.headers, reason)
            continue
        images += _session(planner, subject, key, numbers)
    return images


def _in_order(
    planner: _Planner, groups: dict[tuple[str, str], list[int]]
) -> Iterable[tuple[tuple[str, str], list[int]]]:
    """Sessions of each subject in the order of their dates, which are read and forgotten."""

    def moment(numbers: Sequence[int]) -> tuple[str, str]:
        header = planner.volumes[numbers[0]].header
        try:
            dataset = read_dataset(planner.root / header.path, ["StudyDate", "StudyTime"])
        except VolumeError:
            return "", ""
        return text_of(dataset, "StudyDate"), text_of(dataset, "StudyTime")

    moments = {key: moment(numbers) for key, numbers in groups.items()}
    return sorted(groups.items(), key=lambda item: (item[0][0], moments[item[0]], item[0][1]))


def _session(
    planner: _Planner, subject: str, key: str, numbers: Sequence[int]
) -> list[PlannedImage]:
    """The images of a session: of each modality the one with references, else the largest."""
    name = planner.names.subject(subject)
    chosen: dict[Modality, PlannedImage] = {}
    images: list[PlannedImage] = []
    for number in sorted(numbers, key=lambda number: _preference(planner, number)):
        volume = planner.volumes[number]
        references = planner.references.get(number, [])
        first = chosen.get(volume.modality)
        if first is not None and not references:
            reason = f"a second {volume.modality} of its session, beside {first.volume.label}"
            planner.leave_out(volume.stack.headers, reason)
            continue
        # another image with references of its own is a session of its own
        session_key = (
            key if first is None else f"{key} {volume.header.series} {volume.header.instance}"
        )
        image = PlannedImage(
            subject=name,
            session=planner.names.session(subject, session_key),
            volume=volume,
            references=references,
        )
        images.append(image)
        chosen.setdefault(volume.modality, image)
    anchors = [chosen[name] for name in ANCHORS if name in chosen and chosen[name].references]
    for image in chosen.values():
        if image.references:
            continue
        if not image.volume.header.frame:
            reason = "no RTSTRUCT or DICOM-SEG refers to it, and it has no frame of reference"
            planner.leave_out(image.volume.stack.headers, reason)
            images.remove(image)
            continue
        image.anchor = anchors[0].volume.modality
        text = f"its references are those of the {image.anchor}, resampled to its grid"
        planner.note(image.volume.header, text)
    return images


def _preference(planner: _Planner, number: int) -> tuple[bool, bool, int, int]:
    volume = planner.volumes[number]
    header = volume.header
    slices = len(volume.stack.headers)
    derived = "DERIVED" in header.image_type
    return (not planner.references.get(number), derived, -slices, header.series_number or 0)
