"""Records of scans that the model is not run on: done before, refused, or without usable data."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from evaluator.errors import HostError, UserError
from evaluator.evaluation.plan import scan_key
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.records import RoundRecord, ScanRecord, ScanScores, TargetRecord
from evaluator.scoring.masks import score_failures
from evaluator.scoring.rescore import score_record
from evaluator.scoring.rows import rows_not_run, score_rows
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.evaluation.run_context import RunContext
    from evaluator.runs.records import ScoreRow
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Failure, Modality


def is_done(run: RunStore, case: Case, modality: Modality, key: str) -> bool:
    """True when the run has an intact record with this key; a damaged record counts as none."""
    try:
        record = run.record(case.id, modality)
        if record is None or record.key != key or record.state != "done":
            return False
        return run.masks_are_intact(record)
    except UserError:
        return False


def done_before(context: RunContext, case: Case, modality: Modality, key: str) -> bool:
    """As ``is_done``; scores of another record or of another scorer are computed again."""
    run = context.run
    if not is_done(run, case, modality, key):
        return False
    try:
        scores = run.scores(case.id, modality)
        if scores is None or scores.key != key or scores.scorer != SCORER_VERSION:
            record = run.record(case.id, modality)
            assert record is not None
            score_record(run, record, case, context.plan.protocol)
    except UserError:
        return False
    context.progress(case.id, modality, "done before")
    return True


def record_not_run(context: RunContext, case: Case, modality: Modality, reason: str) -> None:
    """Record that the data allow no fair prompt; the scan is checked again when the run resumes.

    Raises:
        HostError: the run has results of this scan, and its files have gone since.
    """
    _protect_results(context, case, modality)
    rows = rows_not_run(context.plan.protocol, case.scans[modality])
    context.run.write_record(ScanRecord.not_run(case, modality, reason))
    write_scores(context.run, case, modality, "", rows)
    context.progress(case.id, modality, f"not run: {reason}")


def _protect_results(context: RunContext, case: Case, modality: Modality) -> None:
    """Results are not replaced by "the file is missing": the data may not be mounted."""
    try:
        record = context.run.record(case.id, modality)
    except UserError:
        return
    if record is None or record.state != "done":
        return
    for scan in case.scans.values():
        for path in (scan.image, *(reference.path for reference in scan.references)):
            if not path.exists():
                raise HostError(
                    f"{path} is missing, and run {context.run.name} has results of {case.id} "
                    f"{modality}, which are kept; make the data available and run again, or "
                    "choose another --name"
                )


def record_refusal(
    context: RunContext,
    case: Case,
    modality: Modality,
    files: Mapping[str, str],
    refusal: Failure,
) -> None:
    """Record that the model does not take the scan: every target is unsupported, for each seed."""
    protocol, scan = context.plan.protocol, case.scans[modality]
    key = refusal_key(context, files, refusal)
    targets = {target: TargetRecord.failed(refusal) for target in scan.targets}
    rounds = [RoundRecord(seed=seed, round=0, targets=targets) for seed in protocol.seeds]
    record = ScanRecord(
        case=case.id,
        subject=case.subject,
        session=case.session,
        modality=modality,
        key=key,
        state="done",
        files=files,
        rounds=tuple(rounds),
    )
    scores = score_failures(dict.fromkeys(scan.targets, refusal), protocol, scan)
    rows: list[ScoreRow] = []
    for seed in protocol.seeds:
        rows += score_rows(seed, 0, scores)
    context.run.write_record(record)
    write_scores(context.run, case, modality, key, rows)
    context.progress(case.id, modality, f"unsupported: {refusal.detail}")


def refusal_key(context: RunContext, files: Mapping[str, str], refusal: Failure) -> str:
    """The key of a refused scan."""
    return scan_key(context.plan, files, {"refused": refusal.detail})


def write_scores(
    run: RunStore, case: Case, modality: Modality, key: str, rows: list[ScoreRow]
) -> None:
    """Write one scan's scores; ``key`` ties them to the record."""
    run.write_scores(
        ScanScores(
            case=case.id, modality=modality, key=key, rows=tuple(rows), scorer=SCORER_VERSION
        )
    )


def describe_end(rounds: Sequence[RoundRecord]) -> str:
    """How a scan ended: "done", with the failures of its last rounds and the first reason."""
    last: dict[tuple[int, str], TargetRecord] = {}
    for entry in rounds:
        for name, target in entry.targets.items():
            last[entry.seed, name] = target
    failed = {key: target for key, target in last.items() if target.status != Status.OK}
    if not failed:
        return "done"
    counts = Counter(str(target.status) for target in failed.values())
    (_, name), first = next(iter(failed.items()))
    text = ", ".join(f"{count} {status}" for status, count in counts.items())
    detail = textwrap.shorten(first.detail, 200, placeholder=" ...")
    return f"{text} of {len(last)}; {name}: {detail or first.status}"
