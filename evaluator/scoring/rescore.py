"""Score masks against references: while a run goes on, and again from its files at any later time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.datasets import load_dataset
from evaluator.datasets.references import load_references
from evaluator.errors import RunConflictError
from evaluator.files import Json
from evaluator.imaging.grid_masks import crop_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import gather
from evaluator.scoring.applicability import check_metrics, needs_image
from evaluator.scoring.masks import score_failures, score_masks
from evaluator.scoring.rows import rows_not_run, rows_without_prompt, score_rows, write_scores
from evaluator.types import Failure, Status
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality, Protocol

logger = logging.getLogger(__name__)


def score_run(run: RunStore) -> None:
    """Score a run's masks again from its files, without any model, and make its tables anew.

    Raises RunConflictError when the dataset or the protocol is no longer what the run was made with.
    """
    about = run.about()
    dataset = load_dataset(about["dataset_source"], about["data_root"])
    protocol = load_protocol(about["protocol_source"])
    check_metrics(protocol.metrics)
    for name, now in (("dataset", dataset.sha256), ("protocol", protocol.sha256)):
        if about["identity"][f"{name}_sha256"] != now:
            raise RunConflictError(
                f"the {name} has changed since run {run.name} was made; make a new run instead"
            )
    cases = {case.id: case for case in dataset.cases}
    with run.writing():
        for record in run.records():
            case, modality = cases[record["case"]], record["modality"]
            score_record(run, record, case, modality, protocol)
            logger.info(f"scored {case.id} {modality}")
        gather(run)


def score_record(
    run: RunStore, record: Json, case: Case, modality: Modality, protocol: Protocol
) -> None:
    """Score one scan's recorded predictions from the mask files and write its score file."""
    scan = case.scans[modality]
    if record["state"] != "done":
        rows = rows_not_run(protocol, scan)
    else:
        rows = rows_without_prompt(protocol, scan, record["no_prompt"])
        references = (
            load_references(scan, with_image=needs_image(protocol.metrics))
            if any(_has_mask(entry) for entry in record["rounds"])
            else None
        )
        for entry in record["rounds"]:
            predictions = dict(_predictions(run, entry))
            if references is None:
                scores = score_failures(predictions, protocol, scan)
            else:
                scores = score_masks(references, predictions, protocol)
            rows += score_rows(entry["seed"], entry["round"], scores)
    write_scores(run, case.id, modality, record["key"], rows)


def _has_mask(entry: Json) -> bool:
    return any(target.get("mask") for target in entry["targets"].values())


def _predictions(run: RunStore, entry: Json) -> Iterator[tuple[str, GridMask | Failure]]:
    for target, made in entry["targets"].items():
        if made.get("mask"):
            yield target, crop_mask(*read_labels(run.path / made["mask"]["file"]))
        else:
            yield target, Failure(status=Status(made["status"]), detail=made["detail"])
