"""A challenge whose submissions have signed results that a test chose, without any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluator.challenges.counted_scores import total_scores
from evaluator.challenges.opening import OpenChallenge, init_challenge, open_challenge
from evaluator.challenges.rebuild import rebuild
from evaluator.challenges.records import CheckRecord, Outcome, SubmissionRecord
from evaluator.challenges.result_file import (
    ChallengeResult,
    ResultDigests,
    ResultMetric,
    ResultScore,
    ResultTimes,
)
from evaluator.challenges.signed_results import write_signed
from evaluator.runs.json_types import write_typed

METRICS = {"dice": "higher", "nsd": "higher", "hd95": "lower"}
TARGETS, MODALITIES = ("liver", "spleen"), ("CT", "PT")


@dataclass(frozen=True)
class Scored:
    """The scores of one submission: (metrics, modalities, targets, subjects), NaN is none."""

    team: str
    values: np.ndarray
    track: str = "box"
    phase: str = "test"
    #: changes of the result
    changes: Mapping[str, object] | None = None
    #: state instead of "scored"
    fault: str = ""


def toy_challenge(folder: Path, *, ranking: str = "", extra: str = "") -> OpenChallenge:
    """An open challenge with two metrics.

    Args:
        folder: of the challenge; it is created.
        ranking: lines for the table ``[ranking]`` instead of the order and the failures.
        extra: lines at the end.
    """
    made = init_challenge(folder)
    path = made.path / "challenge.toml"
    text = path.read_text()
    if ranking:
        start = text.index('order = "rank-then-aggregate"')
        end = text.index("[[phases]]")
        text = f"{text[:start]}{ranking}\n\n{text[end:]}"
    path.write_text(text + extra)
    return open_challenge(made.path)


def add_scored(challenge: OpenChallenge, submissions: list[Scored]) -> list[str]:
    """Write submissions with their results, in the order of arrival; returns their ids."""
    names = []
    present = len(challenge.folder.ids())
    for number, scored in enumerate(submissions, present + 1):
        name = f"20260301-{number:08x}"
        names.append(name)
        record = SubmissionRecord(
            id=name,
            team=scored.team,
            track=scored.track,
            phase=scored.phase,
            received=f"2026-03-01T{number // 60:02d}:{number % 60:02d}:00+00:00",
            source="image",
            baseline=scored.team == "baseline",
        )
        write_typed(challenge.folder.submissions / name / "submission.json", record)
        submission = challenge.folder.submission(name)
        submission.write_check(CheckRecord(accepted=True))
        if not scored.fault:
            result = make_result(challenge, record, scored)
            write_signed(challenge.folder, submission.result_path(1), result)
        outcome = Outcome(
            state="failed" if scored.fault else "scored",
            attempt=1,
            worker="w",
            time=record.received,
            fault=scored.fault,
            detail="No prediction of the dry run has a valid mask." if scored.fault else "",
            result=0 if scored.fault else 1,
        )
        submission.write_outcome(1, outcome)
        challenge.folder.log.append("received", submission=name, actor=scored.team)
        challenge.folder.log.append(outcome.state, submission=name, actor="w")
    rebuild(challenge)
    return names


def make_result(
    challenge: OpenChallenge, record: SubmissionRecord, scored: Scored
) -> ChallengeResult:
    """The result of a submission with the chosen scores."""
    names = [metric.name for metric in challenge.definition.ranking.metrics]
    scores = []
    for (i, j, k, n), value in np.ndenumerate(scored.values):
        counted = None if np.isnan(value) else float(value)
        scores.append(
            ResultScore(
                subject=f"s-{n:03d}",
                case=f"c-{n:03d}",
                modality=MODALITIES[j],
                target=TARGETS[k],
                seed=0,
                round=0,
                metric=names[i],
                value=counted,
                status="undefined" if counted is None else "ok",
                counted=counted,
                counts_as="excluded" if counted is None else "submission",
            )
        )
    result = ChallengeResult(
        challenge="example",
        submission=record.id,
        team=record.team,
        track=record.track,
        phase=record.phase,
        version=1,
        evaluation=1,
        reason="evaluation",
        received=record.received,
        scored=record.received,
        digests=ResultDigests(
            image=f"sha256:{record.team}", dataset="d" * 64, protocol="p" * 64,
            challenge="c" * 64, run="r" * 64,
        ),
        dataset="hidden",
        protocol="box",
        software="0",
        scorer=1,
        engine="docker",
        isolates=True,
        synthetic=True,
        random_weights=False,
        image_blind=False,
        failures=challenge.definition.ranking.failures,
        metrics=tuple(ResultMetric(name=n, direction=METRICS[n], weight=1.0) for n in names),
        predictions={"ok": len(scores)},
        reproducibility="equal",
        totals=total_scores(scores),
        times=ResultTimes(
            requests=4, median_seconds=1.5, longest_seconds=2.0, load_seconds=3.0,
            gpu_peak_bytes=2**30,
        ),
        scores=tuple(scores),
        log_head="0" * 64,
    )  # fmt: skip
    return replace(result, **(scored.changes or {}))


def random_scores(seed: int, quality: float, subjects: int = 8, metrics: int = 2) -> np.ndarray:
    """Scores around a quality, with subjects of different difficulty."""
    random = np.random.default_rng(seed)
    difficulty = np.random.default_rng(99).normal(0, 0.1, subjects)
    noise = random.normal(0, 0.03, (metrics, 2, 2, subjects))
    return np.clip(quality + difficulty + noise, 0.0, 1.0)
