"""A run's masks as DICOM-SEG on the images that they were imported from.

A viewer of a hospital shows such an object on its own series. It therefore carries the patient's
name and numbers, as the series does.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets import load_dataset_of_run
from evaluator.datasets.dicom import require_libraries, source_files
from evaluator.datasets.dicom.reading import quiet, read_dataset, value_of
from evaluator.errors import DatasetError, UserError, VolumeError
from evaluator.export.segment_codes import property_codes
from evaluator.imaging.geometry import affine_of, difference, spacing
from evaluator.runs.tables import last_round
from evaluator.types import Status
from evaluator.volumes import read_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from evaluator.runs.results import RunFacts

logger = logging.getLogger(__name__)

#: of the new series; a hospital's numbers are smaller
SERIES_NUMBER = 9000


def write_dicom_seg(run: RunFacts, predictions: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the masks of the last round, one object for each image and seed.

    Args:
        run: the run.
        predictions: its predictions.
        folder: where the objects go.

    Returns:
        the files, named after subject, session and modality of the dataset.

    Raises:
        DatasetError: an image was not imported from DICOM, or its files are gone.
        VolumeError: a mask is on another grid than the image.
        UserError: the run has no valid mask.
        HostError: a library is missing.
    """
    require_libraries()
    info = run.info
    dataset = load_dataset_of_run(info.dataset_source, info.root, info.remembered_root)
    scans = {
        (case.subject, case.session, str(modality)): scan.image
        for case in dataset.cases
        for modality, scan in case.scans.items()
    }
    valid = last_round(predictions)
    valid = valid[valid["status"] == Status.OK]
    if valid.empty:
        raise UserError(f"{run.name} has no valid mask")
    has_seeds = len(valid["seed"].unique()) > 1
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    columns = ["subject", "session", "modality", "seed"]
    for number, (key, rows) in enumerate(valid.groupby(columns, observed=True), start=1):
        subject, session, modality, seed = map(str, key)
        image = scans.get((subject, session, modality))
        if image is None:
            raise DatasetError(f"{dataset.name} has no {modality} of {subject}.{session} any more")
        masks = dict(zip(rows["target"].astype(str), rows["mask"].astype(str), strict=True))
        name = f"{subject}_{session}_{modality}" + (f"_seed{seed}" if has_seeds else "")
        paths.append(folder / f"{name}.dcm")
        _write_object(run, image, masks, paths[-1], SERIES_NUMBER + number)
        logger.info(f"exported {name}")
    return paths


def _write_object(
    run: RunFacts, image: Path, masks: Mapping[str, str], path: Path, series_number: int
) -> None:
    grid = read_grid(image)
    planes = []
    for target, mask in masks.items():
        labels, mask_grid = run.store.masks.read(mask)
        if mismatch := difference(grid, mask_grid):
            raise VolumeError(
                f"the mask of {target} is not on the image's grid, as a protocol with a common "
                f"grid gives it: {mismatch}"
            )
        planes.append(np.transpose(labels != 0, (2, 1, 0)))
    voxels = np.stack(planes, axis=-1).astype(np.uint8)
    sources = _read_sources(image, voxels.shape[0])
    for source in sources:
        # optional in images, needed in segmentations
        if value_of(source, "SliceThickness") is None:
            source.SliceThickness = round(spacing(affine_of(grid))[2], 6)
    with quiet():
        try:
            segmentation = _segmentation(run, sources, voxels, list(masks), series_number)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # the message could quote the header; the name of an element does not
            lacking = error.name if isinstance(error, AttributeError) else type(error).__name__
            raise DatasetError(
                f"the series of {image.parent.parent.name} {image.name} cannot carry a DICOM-SEG: "
                f"its headers lack {lacking}"
            ) from None
        segmentation.save_as(path)


def _read_sources(image: Path, slices: int) -> list[Any]:
    """The series of an image, in the order of its slices."""
    files = source_files(image)
    try:
        sources = [read_dataset(file) for file in files]
    except VolumeError:
        raise DatasetError(
            f"the DICOM files of {image.parent.parent.name} {image.name} cannot be read; import "
            "the studies again"
        ) from None
    if len(sources) != slices or value_of(sources[0], "NumberOfFrames"):
        raise DatasetError(
            f"{image.parent.parent.name} {image.name} is one multi-frame object; a DICOM-SEG is "
            "written on series of single slices only"
        )
    return sources


def _segmentation(
    run: RunFacts,
    sources: Sequence[Any],
    voxels: NDArray[np.uint8],
    targets: Sequence[str],
    series_number: int,
) -> Any:
    import highdicom as hd

    described = f"{run.title}, protocol {run.protocol}"
    if run.random_weights:
        described = f"RANDOM WEIGHTS, NOT A RESULT: {described}"
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=voxels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(run, number, target) for number, target in enumerate(targets, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="umd",
        manufacturer_model_name="umd evaluator",
        software_versions=version("umd-evaluator"),
        device_serial_number="none",
        content_label="SEGMENTATION",
        content_description=described[:64],
        series_description=described[:64],
    )


def _description(run: RunFacts, number: int, target: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    category, kind = property_codes(target)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=target[:64],
        segmented_property_category=category,
        segmented_property_type=kind.code,
        algorithm_type="SEMIAUTOMATIC" if run.prompt_kind not in (None, "class") else "AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=run.title[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=str(run.info.identity.image or "not stated")[:64],
        ),
        tracking_uid=hd.UID(),
        tracking_id=target[:64],
    )
    if kind.laterality is not None:
        item = description.SegmentedPropertyTypeCodeSequence[0]
        modifier = hd.sr.CodedConcept.from_code(kind.laterality)
        item.SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return description
