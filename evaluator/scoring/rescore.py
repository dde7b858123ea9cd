"""Score a run's masks again from its files, without any model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.datasets import load_dataset_of_run
from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.datasets.verify import roles_of
from evaluator.errors import HostError, RunConflictError
from evaluator.files import current_sha256
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.records import ScanScores
from evaluator.runs.tables import gather
from evaluator.scoring.applicability import check_metrics, needs_image
from evaluator.scoring.masks import score_failures, score_masks
from evaluator.scoring.rows import rows_not_run, rows_without_prompt, score_rows
from evaluator.types import Failure

if TYPE_CHECKING:
    from evaluator.datasets.references import LoadedReferences
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.records import RoundRecord, ScanRecord, ScoreRow
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, ImagePlan, Protocol

logger = logging.getLogger(__name__)


def score_run(run: RunStore) -> None:
    """Score all masks of a run again and write its tables anew.

    Raises:
        RunConflictError: the dataset, the protocol or a reference has changed since the run was
            made.
        HostError: a reference is missing; no score was changed.
    """
    info = run.info()
    dataset = load_dataset_of_run(info.dataset_source, info.root, info.remembered_root)
    protocol = load_protocol(info.protocol_source)
    check_metrics(protocol.metrics)
    for kind, recorded, present in (
        ("dataset", info.identity.dataset_sha256, dataset.sha256),
        ("protocol", info.identity.protocol_sha256, protocol.sha256),
    ):
        if recorded != present:
            raise RunConflictError(
                f"the {kind} has changed since run {run.name} was made; make a new run instead"
            )
    cases = {case.id: case for case in dataset.cases}
    with run.writing():
        for record in run.records():
            _require_recorded_references(run, record, cases[record.case])
            _require_recorded_masks(run, record)
        for record in run.records():
            score_record(run, record, cases[record.case], protocol)
            logger.info("scored %s %s", record.case, record.modality)
        gather(run)


def _require_recorded_references(run: RunStore, record: ScanRecord, case: Case) -> None:
    """Raise HostError or RunConflictError unless the references are those of the record."""
    for role, path in roles_of(case.scans[record.modality]).items():
        recorded = record.files.get(role)
        if recorded is None or role.endswith(" image"):
            continue
        if not path.is_file():
            raise HostError(f"{path} is missing; no score was changed. Is the disk mounted?")
        if current_sha256(path) != recorded:
            raise RunConflictError(
                f"{path} was replaced since run {run.name} was made, and its masks belong to the "
                "former file; no score was changed. Make a new run"
            )


def _require_recorded_masks(run: RunStore, record: ScanRecord) -> None:
    """Raise RunConflictError unless the masks are those that the model gave."""
    for name, problem in run.masks.problems(record.masks(), trusted=True).items():
        raise RunConflictError(
            f"{run.path / name} is not the mask that the run wrote ({problem}); no score was "
            "changed. Restore the file, or run the model again, which predicts this scan anew"
        )


def score_record(run: RunStore, record: ScanRecord, case: Case, protocol: Protocol) -> None:
    """Score one scan's recorded predictions from the mask files and write its score file."""
    rows = _rows_of_scan(run, record, case, protocol)
    run.write_scores(
        ScanScores(
            case=case.id,
            modality=record.modality,
            key=record.key,
            rows=tuple(rows),
            scorer=SCORER_VERSION,
        )
    )


def _rows_of_scan(
    run: RunStore, record: ScanRecord, case: Case, protocol: Protocol
) -> list[ScoreRow]:
    scan = case.scans[record.modality]
    if record.state != "done":
        return rows_not_run(protocol, scan)
    rows = rows_without_prompt(protocol, scan, record.missing_prompts)
    references: dict[ImagePlan, LoadedReferences] = {}
    for entry in record.rounds:
        failures, masks = _predictions(run, entry)
        images = protocol.images_of(entry.seed)
        if images not in references and record.masks():
            planned = planned_case(case, protocol, entry.seed).scans[record.modality]
            with_image = needs_image(protocol.metrics)
            references[images] = load_references(planned, with_image=with_image)
        if images not in references:
            scores = score_failures(failures, protocol, scan)
        else:
            scores = score_masks(references[images], {**failures, **masks}, protocol)
        rows += score_rows(entry.seed, entry.round, scores)
    return rows


def _predictions(
    run: RunStore, entry: RoundRecord
) -> tuple[dict[str, Failure], dict[str, GridMask]]:
    """The round's failures, and its masks."""
    failures: dict[str, Failure] = {}
    masks: dict[str, GridMask] = {}
    for name, target in entry.targets.items():
        if target.mask:
            masks[name] = run.masks.read_mask(target.mask.file)
        else:
            failures[name] = Failure(status=target.status, detail=target.detail)
    return failures, masks
