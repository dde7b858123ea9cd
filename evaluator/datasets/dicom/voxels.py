"""Read the voxels of a stack of slices: HU of CT, SUV of PET, MR as stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets.dicom.frames import frame_rescale, with_pet_elements
from evaluator.datasets.dicom.reading import (
    name_of,
    number_of,
    quiet,
    read_dataset,
    text_of,
    value_of,
)
from evaluator.datasets.dicom.suv import SuvScale, same_way, suv_scale
from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.datasets.dicom.headers import Header
    from evaluator.datasets.dicom.slices import Stack
    from evaluator.types import Modality

#: DICOM modality -> modality of the evaluator
MODALITIES: dict[str, Modality] = {"CT": "CT", "MR": "MR", "PT": "PT"}


@dataclass(frozen=True, slots=True)
class Voxels:
    """An image's values (i, j, k), in HU, SUV or as stored, and how they were found."""

    array: NDArray[Any]
    way: str


def read_voxels(root: Path, stack: Stack) -> Voxels:
    """Read all slices of a stack.

    Args:
        root: the study tree.
        stack: CT, PET or MR.

    Returns:
        int16 if slopes are 1 and intercepts whole numbers, else float32.

    Raises:
        VolumeError: the voxels cannot be decoded, or an element is missing; the message names it
            and holds no value of the header.
    """
    modality = stack.headers[0].modality
    shape = stack.grid.shape
    # allocated when the first slice has shown that its size is no lie
    array: NDArray[Any] = np.zeros((1, 1, 1), dtype=np.int32)
    rescales: list[tuple[float, float]] = []
    scales: list[SuvScale] = []
    for k, (dataset, plane) in enumerate(_planes(root, stack.headers)):
        if plane.shape != (shape[1], shape[0]):
            raise VolumeError("a slice has another size than its header says")
        slope, intercept = _rescale(dataset, stack.headers[k].number, modality)
        if modality == "PT":
            scales.append(suv_scale(_about_pet(dataset, stack.headers[k].number)))
            slope, intercept = slope * scales[-1].factor, intercept * scales[-1].factor
        rescales.append((slope, intercept))
        if k == 0:
            kind = np.float64 if plane.dtype.kind == "f" else np.int32
            array = np.zeros(shape, dtype=kind, order="F")
        array[:, :, k] = plane.T
    if modality == "MR" and len(set(rescales)) == 1:
        return Voxels(_smallest(array), "as stored")
    way = {"CT": "rescaled to HU", "MR": "rescaled, as slices have different slopes"}.get(modality)
    return Voxels(_rescaled(array, rescales), way or same_way(scales))


def _rescaled(array: NDArray[Any], rescales: Sequence[tuple[float, float]]) -> NDArray[Any]:
    """Values by the slope and intercept of each slice; the array may be changed."""
    if all(slope == 1 and intercept == round(intercept) for slope, intercept in rescales):
        shifts = np.array([round(intercept) for _, intercept in rescales], dtype=array.dtype)
        array += shifts
        return _smallest(array)
    values = np.zeros(array.shape, dtype=np.float32, order="F")
    for k, (slope, intercept) in enumerate(rescales):
        values[:, :, k] = array[:, :, k] * slope + intercept
    return values


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Values in the smallest signed type that NIfTI has."""
    if values.dtype.kind == "f":
        return np.asarray(values, dtype=np.float32)
    fits = values.min() >= -(2**15) and values.max() < 2**15
    return np.asarray(values, dtype=np.int16 if fits else np.int32)


def _about_pet(dataset: Any, number: int) -> Any:
    return with_pet_elements(dataset, number) if _is_enhanced(dataset) else dataset


def check_values(root: Path, stack: Stack) -> str:
    """Find out from the first slice's header whether its values can be converted.

    Returns:
        how, in words.

    Raises:
        VolumeError: an element is missing; the message names it.
    """
    header = stack.headers[0]
    dataset = read_dataset(root / header.path)
    _rescale(dataset, header.number, header.modality)
    if header.modality == "PT":
        return suv_scale(_about_pet(dataset, header.number)).way
    return "rescaled to HU" if header.modality == "CT" else "as stored"


def identical_voxels(root: Path, headers: Sequence[Header]) -> bool:
    """Whether images have the same stored bytes; frames of one file count as different."""
    if any(header.number for header in headers):
        return False
    hashes = set()
    for header in headers:
        try:
            dataset = read_dataset(root / header.path, pixels=True)
        except VolumeError:
            return False
        hashes.add(hashlib.sha256(value_of(dataset, "PixelData") or b"").digest())
    return len(hashes) == 1


def _planes(root: Path, headers: Sequence[Header]) -> Iterator[tuple[Any, NDArray[Any]]]:
    """The dataset and the voxels (rows, columns) of each slice; a file is decoded once."""
    path, dataset, frames = None, None, None
    for header in headers:
        if header.path != path:
            path = header.path
            dataset = read_dataset(root / path, pixels=True)
            frames = _decode(dataset)
        assert frames is not None
        if frames.ndim == 2:
            yield dataset, frames
        elif frames.ndim == 3 and header.number < len(frames):
            yield dataset, frames[header.number]
        else:
            raise VolumeError("a file has fewer frames than its header says")


def _decode(dataset: Any) -> NDArray[Any]:
    with quiet():
        try:
            array = dataset.pixel_array
        except Exception as error:  # decoders raise what they like
            syntax = _syntax(dataset)
            raise VolumeError(
                f"the voxels cannot be decoded ({syntax}; {type(error).__name__})"
            ) from None
    return np.asarray(array)


def _syntax(dataset: Any) -> str:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    return "no transfer syntax" if syntax is None else str(syntax.name)


def _is_enhanced(dataset: Any) -> bool:
    return value_of(dataset, "SharedFunctionalGroupsSequence") is not None or (
        value_of(dataset, "PerFrameFunctionalGroupsSequence") is not None
    )


def _rescale(dataset: Any, number: int, modality: str) -> tuple[float, float]:
    """Slope and intercept of a slice; those of MR are optional."""
    if modality == "CT" and text_of(dataset, "RescaleType").upper() not in ("", "HU"):
        raise VolumeError(f"{name_of('RescaleType')} is not HU")
    if _is_enhanced(dataset):
        rescale = frame_rescale(dataset, number, real_world=modality == "PT")
    else:
        slope = number_of(dataset, "RescaleSlope")
        intercept = number_of(dataset, "RescaleIntercept")
        rescale = None if slope is None or intercept is None else (slope, intercept)
    if rescale is None:
        if modality == "MR" and value_of(dataset, "RescaleSlope") is None:
            return 1.0, 0.0
        raise VolumeError(
            f"{name_of('RescaleSlope')} or {name_of('RescaleIntercept')} is missing or no number"
        )
    if rescale[0] == 0:
        raise VolumeError(f"{name_of('RescaleSlope')} is 0")
    return rescale
