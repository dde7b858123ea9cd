"""Does a model predict the same in any order? Some scans are predicted again to find out.

A model that carries something over from one case to the next (a cache, a memory bank, a random
stream) has scores that depend on the order of the cases. Fresh containers, where nothing came
before, reveal it; the result is written into ``reproducibility.json`` and shown with the run. A
model whose two predictions of one scan alone differ is not deterministic, and the check cannot
tell whether it keeps state.

Two rounds of the first seed are predicted, so the check costs some container starts and a few
requests.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from isal import igzip

from evaluator.containers.workspace import workspace_of
from evaluator.evaluation.scan_task import ScanTask
from evaluator.evaluation.task_evaluation import TaskEvaluation
from evaluator.files import fingerprint
from evaluator.imaging.grid_masks import crop_mask
from evaluator.prompting.error_regions import dice
from evaluator.runs.records import Differences, MaskDifference, Reproducibility, ScanName
from evaluator.runs.store import RunStore
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.evaluation.model_connection import ModelConnection
    from evaluator.evaluation.run_context import RunContext
    from evaluator.runs.records import MaskFile, TargetRecord
    from evaluator.types import Case, Modality, Protocol

    Scans = Sequence[tuple[Case, Modality]]
    #: (case, modality, round, target) -> the run folder, and what became of the target in it
    Outcomes = dict[tuple[str, Modality, int, str], tuple[Path, TargetRecord]]

logger = logging.getLogger(__name__)

#: rounds that are predicted again
ROUNDS = 2
#: differences that are listed one by one
MAX_LISTED = 20


def check_reproducibility(
    context: RunContext,
    cases: Sequence[Case],
    connection: ModelConnection,
    *,
    sample: int,
    gpu: str | None,
) -> None:
    """Predict some of the run's scans again and write the result; nothing if that was done before.

    Args:
        context: of the run.
        cases: of the run.
        connection: to the model.
        sample: scans to predict again, at most.
        gpu: UUID of the GPU; None: none.
    """
    run = context.run
    scans = choose_scans(run, cases, sample)
    records = [run.record(case.id, modality) for case, modality in scans]
    source = fingerprint([record.key for record in records if record])
    before = run.reproducibility()
    if not scans or (before is not None and before.source == source):
        return
    logger.info(
        "predicting %d scans again, individually and as a batch (--recheck 0 skips this)",
        len(scans),
    )
    begun = time.perf_counter()
    first = _outcomes(run, scans)
    with (
        _repeated(context, connection, scans, gpu, "alone") as alone,
        _repeated(context, connection, scans, gpu, "batch") as batch,
    ):
        differences = {"alone": _differences(first, alone), "batch": _differences(first, batch)}
        verdict: Literal["equal", "keeps-state", "not-deterministic"] = "equal"
        if any(differences.values()):
            with _repeated(context, connection, scans, gpu, "alone-again") as again:
                changed = _differences(alone, again)
                verdict = "not-deterministic" if changed else "keeps-state"
    run.write_reproducibility(
        Reproducibility(
            verdict=verdict,
            mode="session" if connection.session else "batch",
            source=source,
            scans=tuple(ScanName(case=case.id, modality=modality) for case, modality in scans),
            masks=len(first),
            seconds=round(time.perf_counter() - begun, 3),
            differences={
                mode: Differences(count=len(listed), first=tuple(listed[:MAX_LISTED]))
                for mode, listed in differences.items()
            },
        )
    )


def choose_scans(run: RunStore, cases: Sequence[Case], sample: int) -> list[tuple[Case, Modality]]:
    """The last scan that the model was run on, and others evenly before it."""
    scans: list[tuple[Case, Modality]] = []
    for case in cases:
        for modality in sorted(case.scans):
            record = run.record(case.id, modality)
            if record and any(entry.request for entry in record.rounds):
                scans.append((case, modality))
    step = max(len(scans) // sample, 1)
    return scans[::-1][::step][:sample]


@contextmanager
def _repeated(
    context: RunContext, connection: ModelConnection, scans: Scans, gpu: str | None, name: str
) -> Iterator[Outcomes]:
    """Outcomes of these scans in one batch, or each in a container of its own; then removed."""
    with workspace_of(f"{context.run.path} {name}") as workspace:
        repeated = replace(
            context,
            plan=replace(context.plan, protocol=_shortened(context.plan.protocol)),
            run=RunStore(workspace.input.parent / "run"),
            workspace=workspace,
            replay=context.run,
            progress=lambda *_: None,
        )
        evaluations = [
            TaskEvaluation(repeated, ScanTask(case=case.id, modalities=(modality,), number=number))
            for number, (case, modality) in enumerate(scans)
        ]
        if name == "batch":
            connection.answer_all(iter(evaluations), workspace, gpu=gpu, session=False)
        else:
            for evaluation in evaluations:
                connection.answer_all(
                    iter([evaluation]), workspace, gpu=gpu, session=connection.session
                )
        yield _outcomes(repeated.run, scans)


def _shortened(protocol: Protocol) -> Protocol:
    rounds = replace(protocol.rounds, count=min(protocol.rounds.count, ROUNDS))
    return replace(protocol, rounds=rounds, seeds=protocol.seeds[:1])


def _outcomes(run: RunStore, scans: Scans) -> Outcomes:
    outcomes: Outcomes = {}
    for case, modality in scans:
        record = run.record(case.id, modality)
        entries = record.rounds if record else ()
        for entry in entries:
            if entry.seed != entries[0].seed or entry.round >= ROUNDS:
                continue
            for name, target in entry.targets.items():
                outcomes[case.id, modality, entry.round, name] = (run.path, target)
    return outcomes


def _differences(first: Outcomes, second: Outcomes) -> list[MaskDifference]:
    """What of the first is different in the second."""
    differences: list[MaskDifference] = []
    for key, (folder, target) in first.items():
        repeated_folder, repeated = second.get(key, (folder, None))
        if repeated and _same_answer(folder, target, repeated_folder, repeated):
            continue
        case, modality, round_number, name = key
        overlap = None
        if repeated and target.mask and repeated.mask:
            mask = crop_mask(*read_labels(folder / target.mask.file))
            repeated_mask = crop_mask(*read_labels(repeated_folder / repeated.mask.file))
            overlap = round(dice(mask, repeated_mask), 6)
        differences.append(
            MaskDifference(
                case=case,
                modality=modality,
                round=round_number,
                target=name,
                status=str(target.status),
                repeated_status=str(repeated.status) if repeated else "not-asked",
                dice=overlap,
            )
        )
    return differences


def _same_answer(
    folder: Path, target: TargetRecord, repeated_folder: Path, repeated: TargetRecord
) -> bool:
    same_status = target.status == repeated.status
    return same_status and _same_mask(folder, target.mask, repeated_folder, repeated.mask)


def _same_mask(
    folder: Path, mask: MaskFile | None, repeated_folder: Path, repeated: MaskFile | None
) -> bool:
    """Whether two runs have the same voxels, or both no mask.

    Files may differ where masks do not: one content has several compressed forms.
    """
    if mask is None or repeated is None:
        return mask is repeated
    if mask.sha256 == repeated.sha256:
        return True
    contents = [
        igzip.decompress((folder / mask.file).read_bytes()),
        igzip.decompress((repeated_folder / repeated.file).read_bytes()),
    ]
    return bool(contents[0] == contents[1])
