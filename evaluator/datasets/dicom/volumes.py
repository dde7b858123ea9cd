"""Series of an indexed study tree as volumes, checked by their headers; the rest as sentences."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.datasets.dicom.frames import frame_headers, is_multi_frame
from evaluator.datasets.dicom.reading import NOT_DICOM, read_dataset
from evaluator.datasets.dicom.slices import Stack, stack_slices
from evaluator.datasets.dicom.voxels import MODALITIES, check_values, identical_voxels
from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from evaluator.datasets.dicom.headers import Header
    from evaluator.types import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesVolume:
    """A volume of a series, which can be converted as far as headers tell."""

    modality: Modality
    stack: Stack
    #: how its values are found, in words
    way: str

    @property
    def header(self) -> Header:
        """Of the first slice."""
        return self.stack.headers[0]

    @property
    def session_key(self) -> str:
        """Equal for images in one world frame: the frame of reference, else the study."""
        return self.header.frame or self.header.study

    @property
    def label(self) -> str:
        """The series, for messages."""
        return series_label(self.header)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """Why files did not become a volume."""

    #: keyed hash; empty if the files have no patient
    subject: str
    #: what the files are, without an identifier
    label: str
    reason: str
    files: tuple[str, ...]


def series_label(header: Header) -> str:
    """A series without its identifiers: "series 3 (CT)"."""
    number = "without a number" if header.series_number is None else header.series_number
    modality = header.modality if header.modality.isalnum() else "no modality"
    return f"series {number} ({modality})"


def find_volumes(
    root: Path, headers: Iterable[Header]
) -> tuple[list[SeriesVolume], list[Sentence]]:
    """All volumes of an index, and a sentence for each group of files that is none.

    References (RTSTRUCT, DICOM-SEG) are in neither.
    """
    series: dict[tuple[str, str, str], list[Header]] = defaultdict(list)
    others: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for header in headers:
        if header.problem:
            is_series = header.modality and header.problem != NOT_DICOM
            label = series_label(header) if is_series else ""
            others[header.subject, label, header.problem].append(header.path)
        elif header.kind == "image":
            series[header.subject, header.series or header.path, header.modality].append(header)
    sentences = [
        Sentence(subject=subject, label=label, reason=reason, files=tuple(files))
        for (subject, label, reason), files in others.items()
    ]
    volumes: list[SeriesVolume] = []
    for group in series.values():
        stacked, refused = _volumes_of(root, group)
        volumes += stacked
        sentences += refused
    return volumes, sentences


def _volumes_of(root: Path, group: Sequence[Header]) -> tuple[list[SeriesVolume], list[Sentence]]:
    label, subject = series_label(group[0]), group[0].subject

    def sentence(reason: str, headers: Iterable[Header]) -> Sentence:
        files = dict.fromkeys(header.path for header in headers)
        return Sentence(subject=subject, label=label, reason=reason, files=tuple(files))

    modality = MODALITIES.get(group[0].modality)
    if modality is None:
        return [], [sentence("its modality is neither CT, MR nor PT", group)]
    frames, sentences = _frames(root, group, sentence)
    stacks, refused = stack_slices(frames, lambda slices: identical_voxels(root, slices))
    sentences += [sentence(entry.reason, entry.headers) for entry in refused]
    volumes = []
    for stack in stacks:
        try:
            way = check_values(root, stack)
        except VolumeError as error:
            sentences.append(sentence(str(error), stack.headers))
            continue
        volumes.append(SeriesVolume(modality=modality, stack=stack, way=way))
    used = {header.path for stack in stacks for header in stack.headers}
    used |= {path for entry in sentences for path in entry.files}
    if copies := [header for header in group if header.path not in used]:
        sentences.append(sentence("copies of other files of the series", copies))
    return volumes, sentences


def _frames(
    root: Path, group: Sequence[Header], sentence: Callable[[str, Iterable[Header]], Sentence]
) -> tuple[list[Header], list[Sentence]]:
    """The slices of a series; those of multi-frame files are read now."""
    frames: list[Header] = []
    sentences: list[Sentence] = []
    for header in group:
        if not is_multi_frame(header):
            frames.append(header)
            continue
        try:
            frames += frame_headers(header, read_dataset(root / header.path))
        except VolumeError as error:
            sentences.append(sentence(str(error), [header]))
    return frames, sentences
