"""Make the result of a submission from its hidden run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from evaluator.challenges.counted_scores import count_scores, total_scores
from evaluator.challenges.definition import FILE
from evaluator.challenges.result_file import (
    ChallengeResult,
    ResultDigests,
    ResultMetric,
    ResultTimes,
)
from evaluator.challenges.signed_results import write_signed
from evaluator.challenges.teams import BASELINE
from evaluator.errors import UserError
from evaluator.manifests.protocols import load_protocol
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import SCORER_VERSION
from evaluator.runs.changed_files import FOLDERS
from evaluator.runs.json_types import read_typed
from evaluator.runs.results import load

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.challenges.definition import Ranking
    from evaluator.challenges.folder import SubmissionFolder
    from evaluator.challenges.opening import OpenChallenge
    from evaluator.challenges.records import SubmissionRecord
    from evaluator.runs.results import Results
    from evaluator.runs.store import RunStore


def result_of(submission: SubmissionFolder, number: int) -> ChallengeResult:
    """A result of a submission; raises DamagedFileError."""
    return read_typed(ChallengeResult, submission.result_path(number))


def newest_result(submission: SubmissionFolder) -> ChallengeResult | None:
    """The newest result of a submission; None if it has none."""
    paths = submission.results()
    return read_typed(ChallengeResult, paths[-1]) if paths else None


def result_of_evaluation(submission: SubmissionFolder, job: int) -> ChallengeResult | None:
    """The first result of an evaluation; None if it has none."""
    for path in submission.results():
        result = read_typed(ChallengeResult, path)
        if result.evaluation == job:
            return result
    return None


def baseline_result(challenge: OpenChallenge, track: str, phase: str) -> ChallengeResult | None:
    """The newest result of the organiser's baseline; None if it has none."""
    newest = None
    for submission in challenge.folder.ids():
        folder = challenge.folder.submission(submission)
        record = folder.record()
        if (record.team, record.track, record.phase) == (BASELINE, track, phase):
            newest = newest_result(folder) or newest
    return newest


def write_result(
    challenge: OpenChallenge, submission: SubmissionFolder, job: int, reason: str = "evaluation"
) -> ChallengeResult:
    """Score a complete evaluation and write its result.

    The first result of an evaluation is written once: if it exists, it is returned.

    Raises:
        UserError: the run is not complete, or the baseline has no result.
    """
    if reason == "evaluation" and (existing := result_of_evaluation(submission, job)):
        return existing
    while True:
        number = len(submission.results()) + 1
        result = make_result(challenge, submission, job, number, reason)
        if write_signed(challenge.folder, submission.result_path(number), result):
            return result


def make_result(
    challenge: OpenChallenge, submission: SubmissionFolder, job: int, number: int, reason: str
) -> ChallengeResult:
    """Compute a result; see ``write_result``."""
    run = submission.run(job, "hidden")
    if run is None or run.missing_scans():
        raise UserError(f"submission {submission.id}: evaluation {job} is not complete")
    record, info = submission.record(), run.info()
    definition = challenge.definition
    track, ranking = definition.track(record.track), definition.ranking
    results, protocol = load(run), load_protocol(info.protocol_source)
    baseline = _replacing(challenge, record)
    scores = count_scores(
        results.scores,
        protocol,
        metrics=[metric.name for metric in ranking.metrics],
        modalities=track.modalities,
        salt=challenge.folder.salt,
        baseline=baseline,
    )
    return ChallengeResult(
        challenge=definition.name,
        submission=submission.id,
        team=record.team,
        track=record.track,
        phase=record.phase,
        version=number,
        evaluation=job,
        reason=reason,
        received=record.received,
        scored=datetime.now(UTC).isoformat(timespec="seconds"),
        digests=_digests(challenge, record, run),
        dataset=info.identity.dataset,
        protocol=info.identity.protocol,
        software=version("umd-evaluator"),
        scorer=SCORER_VERSION,
        engine=info.engine.name,
        runtime=info.engine.runtime,
        isolates=info.engine.isolates,
        synthetic=info.dataset.synthetic,
        random_weights=info.random_weights,
        image_blind=info.image_blind,
        failures=ranking.failures,
        baseline=f"{baseline.submission} {baseline.version}" if baseline else "",
        metrics=_metrics(definition.ranking),
        predictions=_count_predictions(results),
        reproducibility=results.runs[0].reproducibility,
        warnings=results.runs[0].warnings,
        totals=total_scores(scores),
        times=_times(results.predictions),
        scores=scores,
        log_head=challenge.folder.log.head(),
    )


def _replacing(challenge: OpenChallenge, record: SubmissionRecord) -> ChallengeResult | None:
    """The result whose scores replace failures; None: nothing does.

    Raises:
        UserError: the baseline has no result.
    """
    if challenge.definition.ranking.failures != "baseline" or record.baseline:
        return None
    result = baseline_result(challenge, record.track, record.phase)
    if result is None:
        raise UserError(f"the baseline of track {record.track} has no result yet")
    return result


def _metrics(ranking: Ranking) -> tuple[ResultMetric, ...]:
    return tuple(
        ResultMetric(
            name=metric.name, direction=METRICS[metric.name].direction, weight=metric.weight
        )
        for metric in ranking.metrics
    )


def _digests(challenge: OpenChallenge, record: SubmissionRecord, run: RunStore) -> ResultDigests:
    info = run.info()
    return ResultDigests(
        image=info.identity.image,
        archive=record.archive_sha256,
        dataset=info.identity.dataset_sha256,
        protocol=info.identity.protocol_sha256,
        challenge=hashlib.sha256((challenge.folder.path / FILE).read_bytes()).hexdigest(),
        code=info.software.commit or "",
        run=_run_digest(run),
    )


def _run_digest(run: RunStore) -> str:
    """A hash of the content of the run's records, scores, prompts, limits and masks."""
    digest = hashlib.sha256()
    paths = [path for folder in FOLDERS for path in (run.path / folder).rglob("*.*")]
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(str(path.relative_to(run.path)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _count_predictions(results: Results) -> Mapping[str, int]:
    counts = results.predictions["status"].value_counts(sort=True)
    return {str(status): int(count) for status, count in counts.items() if count}


def _times(predictions: pd.DataFrame) -> ResultTimes:
    """Each request once; its targets have the same times."""
    keys = ["case", "modality", "seed", "round"]
    requests = predictions.drop_duplicates(keys)
    seconds = requests["seconds"].dropna()
    load_seconds = requests["load_seconds"].dropna()
    peaks = requests["gpu_peak_bytes"].dropna()

    def rounded(value: Any) -> float:
        return round(float(value), 4)

    return ResultTimes(
        requests=len(seconds),
        median_seconds=rounded(seconds.median()) if len(seconds) else None,
        longest_seconds=rounded(seconds.max()) if len(seconds) else None,
        load_seconds=rounded(load_seconds.sum()) if len(load_seconds) else None,
        gpu_peak_bytes=int(peaks.max()) if len(peaks) else None,
    )
