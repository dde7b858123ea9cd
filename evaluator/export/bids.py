"""A run as a BIDS derivative dataset: segmentations by image, scores by subject, and descriptions.

The layout follows the derivatives of the BIDS specification (masks, discrete segmentations, lookup
tables; bids-specification.readthedocs.io). Segmentations of PET are in ``pet/``, beside which BIDS
has the images; ``.bidsignore`` names them, as BIDS defines segmentations in ``anat/``, ``func/``
and ``dwi/`` only. Those of CT and MR are in ``anat/``. The image's modality is the ``acq`` entity.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.export.pseudonyms import bids_label, bids_labels
from evaluator.files import write_bytes
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.tables import last_round
from evaluator.types import Status
from evaluator.volumes import write_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from evaluator.runs.results import RunFacts

logger = logging.getLogger(__name__)

_IGNORED = "*_scores.tsv\nscores.json\nfindings.tsv\n**/pet/*_dseg.*\n**/pet/*_mask.*\n"
#: modality -> folder of a session
FOLDERS = {"CT": "anat", "MR": "anat", "PT": "pet"}
BIDS_VERSION = "1.10.0"
_SCORE_COLUMNS = ("modality", "target", "seed", "round", "metric", "value", "status")


def write_bids(
    run: RunFacts,
    scores: pd.DataFrame,
    predictions: pd.DataFrame,
    folder: Path,
    *,
    keep_ids: bool,
) -> list[Path]:
    """Write a run's masks of the last round, for each seed, and all scores.

    Masks of one image that do not overlap become one ``dseg`` with the labels of ``dseg.tsv``;
    otherwise each becomes a ``mask``.

    Args:
        run: the run.
        scores: its scores, with subjects and sessions named as in the export.
        predictions: its predictions, likewise.
        folder: the new dataset.
        keep_ids: whether subjects have their original names, for the README.

    Returns:
        the files.

    Raises:
        VolumeError: a mask cannot be read.
        HostError: the files cannot be written.
    """
    predictions = last_round(predictions)
    subjects = bids_labels(predictions["subject"].astype(str).unique())
    sessions = {
        str(subject): bids_labels(names.astype(str).unique())
        for subject, names in predictions.groupby("subject", observed=True)["session"]
    }
    names = sorted(map(str, predictions["target"].unique()))
    targets = {name: number for number, name in enumerate(names, start=1)}
    paths = _dataset_files(run, folder, targets, sorted(subjects.values()), keep_ids=keep_ids)
    has_seeds = len(predictions["seed"].unique()) > 1

    def location(subject: object, session: object) -> tuple[Path, str]:
        entities = (
            f"sub-{subjects[str(subject)]}",
            f"ses-{sessions[str(subject)][str(session)]}",
        )
        return folder.joinpath(*entities), "_".join(entities)

    columns = ["subject", "session", "modality", "seed"]
    for (subject, session, modality, seed), rows in predictions.groupby(columns, observed=True):
        session_folder, stem = location(subject, session)
        model = bids_label(run.model) + (f"seed{seed}" if has_seeds else "")
        path = session_folder / FOLDERS[str(modality)] / f"{stem}_acq-{modality}_space-orig"
        paths += _write_scan(run, path, model, rows, targets)
        logger.info(f"exported {stem} {modality}")
    for (subject, session), rows in scores.groupby(["subject", "session"], observed=True):
        session_folder, stem = location(subject, session)
        cells = rows[list(_SCORE_COLUMNS)].astype("string").fillna("n/a")
        lines = cells.itertuples(index=False, name=None)
        paths.append(_write_tsv(session_folder / f"{stem}_scores.tsv", _SCORE_COLUMNS, lines))
    return paths


def _write_scan(
    run: RunFacts, stem: Path, model: str, rows: pd.DataFrame, targets: Mapping[str, int]
) -> list[Path]:
    """Write the masks of one image and seed, and a sidecar with the status of every target."""
    valid = rows[rows["status"] == Status.OK]
    masks = dict(zip(valid["target"].astype(str), valid["mask"].astype(str), strict=True))
    status = dict(zip(rows["target"].astype(str), rows["status"].astype(str), strict=True))
    about = {"Manual": False, "SpatialReference": "orig", "TargetStatus": status}
    combined = _combined(run, masks, targets)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    if combined is not None:
        labels, grid = combined
        paths.append(stem.with_name(f"{stem.name}_seg-{model}_dseg.nii.gz"))
        write_volume(paths[-1], labels, grid)
        paths.append(_write_json(stem.with_name(f"{stem.name}_seg-{model}_dseg.json"), about))
    else:
        target_labels = bids_labels(masks)
        about["Overlap"] = "the masks overlap, so each mask is a separate file"
        for target, mask in masks.items():
            name = f"{stem.name}_label-{target_labels[target]}_desc-{model}_mask"
            paths.append(stem.with_name(f"{name}.nii.gz"))
            write_bytes(paths[-1], run.store.masks.content(mask))
            sidecar = {"Type": "ROI", "Target": target} | about
            paths.append(_write_json(stem.with_name(f"{name}.json"), sidecar))
    return paths


def _combined(run: RunFacts, masks: Mapping[str, str], targets: Mapping[str, int]) -> Any:
    """A label map of masks and its grid; None if there are no masks or two overlap."""
    labels, grid = None, None
    for target, name in masks.items():
        mask, mask_grid = run.store.masks.read(name)
        if labels is None:
            dtype = np.uint8 if max(targets.values()) < 256 else np.uint16
            labels, grid = np.zeros(mask.shape, dtype, order="F"), mask_grid
        inside = mask != 0
        if labels[inside].any():
            return None
        labels[inside] = targets[target]
    return None if labels is None else (labels, grid)


def _dataset_files(
    run: RunFacts,
    folder: Path,
    targets: Mapping[str, int],
    subjects: Iterable[str],
    *,
    keep_ids: bool,
) -> list[Path]:
    warning = _warning(run)
    readme = (
        f"{warning}Masks by {run.title} and their scores, "
        f"protocol {run.protocol} ({run.protocol_title}).\n"
        f"Source: {run.dataset_title}. References: {run.reference_origin}.\n"
        f"Subjects have {'their original ids' if keep_ids else 'numbers in a secret order'}.\n"
        "A target without a mask has a status in the scores, and in the sidecar's TargetStatus if "
        "the image has any mask.\n"
        "findings.tsv lists what was found in the data before the model was run.\n"
        "Segmentations of PET are in pet/, of CT and MR in anat/; acq- is the modality of the "
        "image.\n"
    )
    return [
        _write_json(folder / "dataset_description.json", _description(run)),
        _write_text(folder / "README", readme),
        _write_text(folder / ".bidsignore", _IGNORED),
        _write_json(folder / "scores.json", _score_columns()),
        _write_tsv(
            folder / "participants.tsv",
            ("participant_id",),
            [(f"sub-{name}",) for name in subjects],
        ),
        _write_tsv(
            folder / "dseg.tsv",
            ("index", "name"),
            [(str(number), name) for name, number in targets.items()],
        ),
    ]


def _warning(run: RunFacts) -> str:
    """What a reader must know before any figure; empty if nothing."""
    warnings = {
        "SYNTHETIC data. ": run.synthetic,
        "RANDOM WEIGHTS, NOT A RESULT. ": run.random_weights,
        "UNREGISTERED: the images of a session did not get one prompt. ": run.info.unregistered,
        "RUN IN SPITE OF ERRORS in the data. ": bool(run.store.checks().forced),
    }
    return "".join(text for text, applies in warnings.items() if applies)


def _description(run: RunFacts) -> dict[str, Any]:
    """The content of dataset_description.json."""
    random = "RANDOM WEIGHTS, NOT A RESULT. " if run.random_weights else ""
    container = {"Type": run.engine, "Tag": run.image} if run.isolates else None
    generated = {"Name": run.title, "Description": f"{random}The model that predicted the masks"}
    return {
        "Name": f"{_warning(run)}{run.title} on {run.dataset_title}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": run.info.dataset.license,
        "GeneratedBy": [
            {
                "Name": "umd",
                "Version": version("umd-evaluator"),
                "Description": f"protocol {run.protocol}",
            },
            generated | ({"Container": container} if container else {}),
        ],
        "SourceDatasets": [{"Version": f"sha256:{run.dataset_sha256}"}],
        "HowToAcknowledge": run.info.dataset.citation,
    }


def _score_columns() -> dict[str, Any]:
    """The content of scores.json: what the columns of the score tables mean."""
    metrics = {
        name: {"LongName": row.title, "Units": row.unit or "1", "Description": row.definition}
        for name, row in METRICS.items()
    }
    return {
        "modality": {"Description": "DICOM code of the segmented image"},
        "target": {"Description": "the structure"},
        "seed": {"Description": "seed of the prompts"},
        "round": {"Description": "round of corrections, from 0"},
        "metric": {
            "Description": "the score's name",
            "Levels": {name: about["Description"] for name, about in metrics.items()},
        },
        "value": {"Description": "the score; n/a if there is none, see status"},
        "status": {"Description": "ok, or why there is no value"},
    }


def _write_tsv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Path:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerows([tuple(columns), *rows])
    return _write_text(path, buffer.getvalue())


def _write_json(path: Path, body: Mapping[str, Any]) -> Path:
    return _write_text(path, json.dumps(body, indent=1) + "\n")


def _write_text(path: Path, text: str) -> Path:
    write_bytes(path, text.encode())
    return path
