"""Does a model predict the same in any order? Some scans are predicted again to find out.

A model that carries something over from one case to the next (a cache, a memory bank, a random
stream) has scores that depend on the order of the cases. Fresh containers, where nothing came
before, reveal it; the result is written into ``reproducibility.json`` and shown with the run. A
model whose two predictions of one scan alone differ is not deterministic, and the check cannot
tell whether it keeps state.

Two rounds of one seed of each scan are predicted, so the check costs some container starts and a
few requests. Scans and seeds are drawn by the run's secret salt, and the requests have the names
that they had in the run: a model cannot know which of its answers will be repeated.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from isal import igzip

from evaluator.containers.workspace import workspace_of
from evaluator.evaluation.scan_task import ScanTask
from evaluator.evaluation.task_evaluation import TaskEvaluation
from evaluator.files import fingerprint
from evaluator.prompting.error_regions import dice
from evaluator.runs.reproducibility_records import (
    Differences,
    MaskDifference,
    Reproducibility,
    ScanName,
)
from evaluator.runs.store import RunStore
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.containers.engines.spec import Workspace
    from evaluator.evaluation.model_connection import ModelConnection
    from evaluator.evaluation.run_context import RunContext
    from evaluator.runs.mask_files import MaskFiles
    from evaluator.runs.records import MaskFile, ScanRecord, TargetRecord
    from evaluator.types import Case, Modality

    #: (case, modality, round, target) -> the masks of the run, and what became of the target in it
    Outcomes = dict[tuple[str, Modality, int, str], tuple[MaskFiles, TargetRecord]]

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
    scans = choose_scans(run, cases, sample, context.salt)
    source = fingerprint([[scan.key, scan.seed] for scan in scans])
    before = run.reproducibility()
    if not scans or (before is not None and before.source == source):
        return
    if connection.history.given_up:
        logger.info("the model was given up, so it is not checked whether it keeps state")
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
            scans=tuple(
                ScanName(case=scan.case.id, modality=scan.modality, seed=scan.seed)
                for scan in scans
            ),
            masks=len(first),
            seconds=round(time.perf_counter() - begun, 3),
            differences={
                mode: Differences(count=len(listed), first=tuple(listed[:MAX_LISTED]))
                for mode, listed in differences.items()
            },
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedScan:
    """A scan that is predicted again under one of its seeds."""

    case: Case
    modality: Modality
    seed: int
    #: of the scan within the run; its requests keep their names
    number: int
    #: of the scan's result
    key: str


def choose_scans(
    run: RunStore, cases: Sequence[Case], sample: int, salt: str
) -> list[RepeatedScan]:
    """Scans to predict again, in the run's order, drawn by the run's secret salt.

    The first scan of a run and the first seed of a scan had no predecessors, so they are chosen
    only if there are no others. Scans where the model crashed or was late are not chosen: waiting
    for the same again would tell nothing.

    Args:
        run: the run.
        cases: of the run, all of them.
        sample: how many scans, at most.
        salt: the run's secret.
    """
    generator = random.Random(fingerprint([salt, "repeated scans"]))  # noqa: S311 - no secret
    scans: list[RepeatedScan] = []
    number = 0
    for case in cases:
        for modality in sorted(case.scans):
            record = run.record(case.id, modality)
            seeds = _answered_seeds(record) if record else []
            if record and seeds:
                seed = generator.choice(seeds[1:] or seeds)
                scans.append(
                    RepeatedScan(
                        case=case, modality=modality, seed=seed, number=number, key=record.key
                    )
                )
            number += 1
    candidates = scans[1:] if len(scans) > sample else scans
    chosen = generator.sample(candidates, min(sample, len(candidates)))
    return sorted(chosen, key=lambda scan: scan.number)


def _answered_seeds(record: ScanRecord) -> list[int]:
    """Seeds under which the model answered at least one request, in the run's order."""
    late = (Status.CRASHED, Status.TIMEOUT)
    seeds: dict[int, None] = {}
    for entry in record.rounds:
        answered = any(target.status not in late for target in entry.targets.values())
        if entry.request and answered:
            seeds[entry.seed] = None
    return list(seeds)


@contextmanager
def _repeated(
    context: RunContext,
    connection: ModelConnection,
    scans: Sequence[RepeatedScan],
    gpu: str | None,
    name: str,
) -> Iterator[Outcomes]:
    """Outcomes of these scans in one batch, or each in a container of its own; then removed."""
    with workspace_of(f"{context.run.path} {name}") as workspace:
        store = RunStore(workspace.input.parent / "run")
        evaluations = [_evaluation(context, scan, workspace, store) for scan in scans]
        if name == "batch":
            connection.answer_all(iter(evaluations), workspace, gpu=gpu, session=False)
        else:
            for evaluation in evaluations:
                connection.answer_all(
                    iter([evaluation]), workspace, gpu=gpu, session=connection.session
                )
        yield _outcomes(store, scans)


def _evaluation(
    context: RunContext, scan: RepeatedScan, workspace: Workspace, store: RunStore
) -> TaskEvaluation:
    """The evaluation of one scan under its seed, with the prompts of the run."""
    protocol = context.plan.protocol
    rounds = replace(protocol.rounds, count=min(protocol.rounds.count, ROUNDS))
    variants = (protocol.prompts_of(scan.seed),) if protocol.variants else ()
    shortened = replace(protocol, rounds=rounds, seeds=(scan.seed,), variants=variants)
    repeated = replace(
        context,
        plan=replace(context.plan, protocol=shortened),
        run=store,
        workspace=workspace,
        replay=context.run,
        progress=lambda *_: None,
    )
    task = ScanTask(case=scan.case.id, modalities=(scan.modality,), number=scan.number)
    return TaskEvaluation(repeated, task)


def _outcomes(run: RunStore, scans: Sequence[RepeatedScan]) -> Outcomes:
    outcomes: Outcomes = {}
    for scan in scans:
        record = run.record(scan.case.id, scan.modality)
        for entry in record.rounds if record else ():
            if entry.seed != scan.seed or entry.round >= ROUNDS:
                continue
            for name, target in entry.targets.items():
                outcomes[scan.case.id, scan.modality, entry.round, name] = (run.masks, target)
    return outcomes


def _differences(first: Outcomes, second: Outcomes) -> list[MaskDifference]:
    """What of the first is different in the second."""
    differences: list[MaskDifference] = []
    for key, (masks, target) in first.items():
        repeated_masks, repeated = second.get(key, (masks, None))
        if repeated and _same_answer(masks, target, repeated_masks, repeated):
            continue
        case, modality, round_number, name = key
        overlap = None
        if repeated and target.mask and repeated.mask:
            mask = masks.read_mask(target.mask.file)
            repeated_mask = repeated_masks.read_mask(repeated.mask.file)
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
    masks: MaskFiles, target: TargetRecord, repeated_masks: MaskFiles, repeated: TargetRecord
) -> bool:
    same_status = target.status == repeated.status
    return same_status and _same_mask(masks, target.mask, repeated_masks, repeated.mask)


def _same_mask(
    masks: MaskFiles, mask: MaskFile | None, repeated_masks: MaskFiles, repeated: MaskFile | None
) -> bool:
    """Whether two runs have the same voxels, or both no mask.

    Files may differ where masks do not: one content has several compressed forms.
    """
    if mask is None or repeated is None:
        return mask is repeated
    if mask.sha256 == repeated.sha256:
        return True
    contents = [
        igzip.decompress(masks.content(mask.file)),
        igzip.decompress(repeated_masks.content(repeated.file)),
    ]
    return bool(contents[0] == contents[1])
