"""A run as a BIDS derivative dataset: segmentations by image, scores by subject, with what the columns and labels mean.

After the BIDS specification's derivatives (masks, discrete segmentations, lookup tables; bids-specification.readthedocs.io).
All segmentations lie in ``anat/``, whatever they were made of: BIDS has no CT yet and, beside function and diffusion, no
other place for a segmentation. The image's modality is the ``acq`` entity.
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
from evaluator.metrics import METRICS
from evaluator.runs.tables import last_round
from evaluator.types import Status
from evaluator.volumes import read_labels, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from evaluator.runs.results import RunFacts

logger = logging.getLogger(__name__)

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
    """Write a run's last masks of each seed and all of its scores into ``folder``; returns the files.

    Masks of one image that do not overlap become one ``dseg`` with the labels of ``dseg.tsv``; those that do become a
    ``mask`` each. The tables call subjects and session_numbers as they are to be called. Raises VolumeError, HostError.
    """
    predictions = last_round(predictions)
    subjects = bids_labels(predictions["subject"].astype(str).unique())
    session_numbers = {
        str(subject): bids_labels(own.astype(str).unique())
        for subject, own in predictions.groupby("subject", observed=True)["session"]
    }
    targets = {
        name: number
        for number, name in enumerate(sorted(map(str, predictions["target"].unique())), start=1)
    }
    paths = _dataset_files(run, folder, targets, sorted(subjects.values()), keep_ids=keep_ids)
    many = len(predictions["seed"].unique()) > 1

    def place(subject: object, session: object) -> tuple[Path, str]:
        parts = (
            f"sub-{subjects[str(subject)]}",
            f"ses-{session_numbers[str(subject)][str(session)]}",
        )
        return folder.joinpath(*parts), "_".join(parts)

    by = ["subject", "session", "modality", "seed"]
    for (subject, session, modality, seed), rows in predictions.groupby(by, observed=True):
        where, stem = place(subject, session)
        maker = bids_label(run.model) + (f"seed{seed}" if many else "")
        paths += _write_scan(
            run, where / "anat" / f"{stem}_acq-{modality}_space-orig", maker, rows, targets
        )
        logger.info(f"{stem} {modality}")
    for (subject, session), rows in scores.groupby(["subject", "session"], observed=True):
        where, stem = place(subject, session)
        cells = (
            rows[list(_SCORE_COLUMNS)]
            .astype("string")
            .fillna("n/a")
            .itertuples(index=False, name=None)
        )
        paths.append(_write_tsv(where / f"{stem}_scores.tsv", _SCORE_COLUMNS, cells))
    return paths


def _write_scan(
    run: RunFacts, stem: Path, maker: str, rows: pd.DataFrame, targets: Mapping[str, int]
) -> list[Path]:
    """The masks of one image and seed, and a sidecar that has every target's status."""
    made = rows[rows["status"] == Status.OK]
    masks = {
        str(target): run.path / str(mask)
        for target, mask in zip(made["target"], made["mask"], strict=True)
    }
    status = dict(zip(rows["target"].astype(str), rows["status"].astype(str), strict=True))
    about = {"Manual": False, "SpatialReference": "orig", "TargetStatus": status}
    combined = _combined(masks, targets)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    if combined is not None:
        labels, grid = combined
        paths.append(stem.with_name(f"{stem.name}_seg-{maker}_dseg.nii.gz"))
        write_volume(paths[-1], labels, grid)
        paths.append(_write_json(stem.with_name(f"{stem.name}_seg-{maker}_dseg.json"), about))
    else:
        short = bids_labels(masks)
        about["Overlap"] = "the masks overlap, so that each is a file of its own"
        for target, path in masks.items():
            own = f"{stem.name}_label-{short[target]}_desc-{maker}_mask"
            paths.append(stem.with_name(f"{own}.nii.gz"))
            write_bytes(paths[-1], path.read_bytes())
            paths.append(
                _write_json(
                    stem.with_name(f"{own}.json"), {"Type": "ROI", "Target": target} | about
                )
            )
    return paths


def _combined(masks: Mapping[str, Path], targets: Mapping[str, int]) -> Any:
    """One label map of masks on one grid; None where there is no mask, or two overlap."""
    labels, grid = None, None
    for target, path in masks.items():
        mask, own = read_labels(path)
        if labels is None:
            labels, grid = (
                np.zeros(
                    mask.shape, np.uint8 if max(targets.values()) < 256 else np.uint16, order="F"
                ),
                own,
            )
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
    synthetic = "SYNTHETIC data. " if run.synthetic else ""
    random = "RANDOM WEIGHTS, NOT A RESULT. " if run.random_weights else ""
    container = {"Type": run.engine, "Tag": run.image} if run.isolates else None
    generated = {"Name": run.title, "Description": f"{random}The model that made the masks"}
    description = {
        "Name": f"{synthetic}{random}{run.title} on {run.dataset_title}",
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
    readme = (
        f"{synthetic}{random}Masks by {run.title} and their scores, protocol {run.protocol} ({run.protocol_title}).\n"
        f"Source: {run.dataset_title}. References: {run.reference_origin}.\n"
        f"Subjects are {'called by their ids' if keep_ids else 'numbered in a secret order'}.\n"
        "A target without a mask has a status in the scores, and in the sidecar's TargetStatus where the image has any mask.\n"
        "All segmentations lie in anat/, as BIDS has no other place for them; acq- is the modality of the image.\n"
    )
    metrics = {
        name: {"LongName": row.title, "Units": row.unit or "1", "Description": row.definition}
        for name, row in METRICS.items()
    }
    scores = {
        "modality": {"Description": "DICOM's code of the image that was segmented"},
        "target": {"Description": "the structure"},
        "seed": {"Description": "of the prompts"},
        "round": {"Description": "of corrections, from 0"},
        "metric": {
            "Description": "the score's name",
            "Levels": {name: about["Description"] for name, about in metrics.items()},
        },
        "value": {"Description": "the score; n/a where status says why there is none"},
        "status": {"Description": "ok, or why there is no value"},
    }
    return [
        _write_json(folder / "dataset_description.json", description),
        _write_text(folder / "README", readme),
        _write_text(folder / ".bidsignore", "*_scores.tsv\nscores.json\n"),
        _write_json(folder / "scores.json", scores),
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


def _write_tsv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Path:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerows([tuple(columns), *rows])
    return _write_text(path, buffer.getvalue())


def _write_json(path: Path, body: Mapping[str, Any]) -> Path:
    return _write_text(path, json.dumps(body, indent=1) + "\n")


def _write_text(path: Path, text: str) -> Path:
    write_bytes(path, text.encode())
    return path
