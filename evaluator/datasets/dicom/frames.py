"""Multi-frame (enhanced) objects: the geometry and the values of each frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evaluator.datasets.dicom.headers import Header
from evaluator.datasets.dicom.reading import (
    items_of,
    number_of,
    numbers_of,
    quiet,
    text_of,
    texts_of,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: keyword of a header's key -> functional group, element
_KEYS = {
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "AcquisitionTime": ("FrameContentSequence", "FrameReferenceDateTime"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
}
_FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
)
#: unit of a real world value -> Units of a PET image
_UNITS = {"BQ/ML": "BQML", "{SUVBW}G/ML": "GML", "G/ML": "GML"}


def is_multi_frame(header: Header) -> bool:
    """Whether the geometry is in the frames."""
    return header.frames == 0


def frame_headers(header: Header, dataset: Any) -> list[Header]:
    """One header for each frame of a multi-frame object.

    Args:
        header: of the file.
        dataset: the file without its voxels.
    """
    count = int(number_of(dataset, "NumberOfFrames") or 1)
    frames = []
    for number in range(count):
        groups = list(_groups(dataset, number))
        keys = {}
        for key, (sequence, keyword) in _KEYS.items():
            if text := _text(groups, sequence, keyword):
                keys[key] = text
        frames.append(
            replace(
                header,
                frames=1,
                number=number,
                position=_numbers(groups, "PlanePositionSequence", "ImagePositionPatient", 3),
                orientation=_numbers(
                    groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6
                ),
                spacing=_numbers(groups, "PixelMeasuresSequence", "PixelSpacing", 2),
                image_type=_frame_type(groups) or header.image_type,
                keys=keys,
            )
        )
    return frames


def frame_rescale(dataset: Any, number: int, *, real_world: bool) -> tuple[float, float] | None:
    """Slope and intercept of a frame.

    Args:
        dataset: a multi-frame object.
        number: of the frame, from 0.
        real_world: take the mapping to a unit, if there is one.

    Returns:
        None if the frame has neither.
    """
    for groups in _groups(dataset, number):
        items = value_of(groups, "RealWorldValueMappingSequence") if real_world else None
        if items:
            slope = number_of(items[0], "RealWorldValueSlope")
            intercept = number_of(items[0], "RealWorldValueIntercept")
            if slope is not None and intercept is not None:
                return slope, intercept
    for groups in _groups(dataset, number):
        items = value_of(groups, "PixelValueTransformationSequence")
        if items:
            slope = number_of(items[0], "RescaleSlope")
            intercept = number_of(items[0], "RescaleIntercept")
            if slope is not None and intercept is not None:
                return slope, intercept
    return None


def with_pet_elements(dataset: Any, number: int) -> Any:
    """The elements of a single-frame PET image, from those of a frame of an enhanced one.

    Legacy converted objects keep the original elements in functional groups.
    """
    from pydicom.dataset import Dataset

    plain = Dataset()
    with quiet():
        for element in dataset:
            if element.keyword and element.VR != "SQ" and element.keyword != "PixelData":
                plain.add(element)
        if tracer := value_of(dataset, "RadiopharmaceuticalInformationSequence"):
            plain.RadiopharmaceuticalInformationSequence = tracer
        for groups in _groups(dataset, number):
            for name in (
                "UnassignedPerFrameConvertedAttributesSequence",
                "UnassignedSharedConvertedAttributesSequence",
            ):
                for item in value_of(groups, name) or ():
                    plain.update(item)
        corrections = list(texts_of(plain, "CorrectedImage"))
        for keyword, word in (("AttenuationCorrected", "ATTN"), ("DecayCorrected", "DECY")):
            if text_of(dataset, keyword).upper() == "YES":
                corrections.append(word)
        plain.CorrectedImage = corrections
        if "DecayCorrection" not in plain and text_of(dataset, "DecayCorrectionDateTime"):
            plain.DecayCorrection = "START"
        if "Units" not in plain and (unit := _unit(dataset, number)):
            plain.Units = unit
    return plain


def _unit(dataset: Any, number: int) -> str:
    for groups in _groups(dataset, number):
        for item in value_of(groups, "RealWorldValueMappingSequence") or ():
            for code in value_of(item, "MeasurementUnitsCodeSequence") or ():
                text = text_of(code, "CodeValue").upper()
                if text in _UNITS:
                    return _UNITS[text]
    return ""


def _groups(dataset: Any, number: int) -> Iterator[Any]:
    """The functional groups of a frame, then those that all frames share."""
    per_frame = items_of(dataset, "PerFrameFunctionalGroupsSequence")
    if number < len(per_frame):
        yield per_frame[number]
    shared = items_of(dataset, "SharedFunctionalGroupsSequence")
    if len(shared):
        yield shared[0]


def _items(groups: list[Any], sequence: str) -> Iterator[Any]:
    for group in groups:
        items = items_of(group, sequence)
        if len(items):
            yield items[0]


def _numbers(
    groups: list[Any], sequence: str, keyword: str, count: int
) -> tuple[float, ...] | None:
    for item in _items(groups, sequence):
        if numbers := numbers_of(item, keyword, count):
            return numbers
    return None


def _text(groups: list[Any], sequence: str, keyword: str) -> str:
    return next(filter(None, (text_of(item, keyword) for item in _items(groups, sequence))), "")


def _frame_type(groups: list[Any]) -> tuple[str, ...]:
    for sequence in _FRAME_TYPES:
        for item in _items(groups, sequence):
            if types := texts_of(item, "FrameType"):
                return types
    return ()
