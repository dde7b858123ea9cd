"""The leaderboard of a challenge: its types, which are those of ``leaderboard.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evaluator.challenges.records import FORMAT
from evaluator.challenges.result_file import ResultMetric, ResultTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over subjects with its 95 % interval."""

    metric: str
    #: empty: all modalities, each with the same weight within the subject
    modality: str = ""
    #: empty: all targets
    target: str = ""
    value: float
    #: absent with fewer than 5 subjects
    low: float | None = None
    high: float | None = None
    subjects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityGap:
    """A mean difference between two modalities within the subject, first minus second."""

    metric: str
    first: str
    second: str
    difference: float
    #: absent with fewer than 5 subjects
    low: float | None = None
    high: float | None = None
    #: signed-rank test, adjusted by Holm over all gaps of the board; absent with one subject
    p_holm: float | None = None
    subjects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A submission that a board shows with its scores."""

    team: str
    submission: str
    #: number of the result, and sha256 of its file
    version: int
    result_sha256: str
    #: id of the image, or hash of a model's files
    image: str
    received: str
    scored: str
    #: 1 is best, ties share the better place; absent: the baseline, or there is no ranking
    place: int | None = None
    #: by the challenge's order of aggregation, 1 is best
    mean_rank: float | None = None
    #: 2.5 % and 97.5 % quantile of the place over resamples; absent with one subject
    place_low: int | None = None
    place_high: int | None = None
    #: share of the resamples with place 1, 2, ...
    places: tuple[float, ...] = ()
    #: the place by the other order of aggregation
    other_place: int | None = None
    #: letters; two entries that share one cannot be told apart
    groups: str = ""
    #: of all modalities and targets together, one for each metric
    scores: tuple[Estimate, ...]
    #: by modality, and by modality and target
    details: tuple[Estimate, ...] = ()
    gaps: tuple[ModalityGap, ...] = ()
    times: ResultTimes
    #: predictions by status
    predictions: Mapping[str, int]
    #: scores by what they count as: submission, worst, baseline or excluded
    counts_as: Mapping[str, int]
    reproducibility: str
    synthetic: bool
    random_weights: bool
    image_blind: bool
    isolates: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Whether two entries differ: the mean ranks of their subjects, signed-rank test."""

    #: submission with the better mean rank over subjects
    better: str
    worse: str
    #: adjusted by Holm over all pairs; absent with one subject
    p_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """A submission of a team, in the order of arrival."""

    submission: str
    team: str
    received: str
    state: str
    #: whose fault a failure is, and why the state is what it is
    fault: str = ""
    detail: str = ""
    #: number of the result; 0: none, or it is not shown
    version: int = 0
    #: mean of each metric over all modalities and targets
    scores: Mapping[str, float] = field(default_factory=dict)
    #: whether the board shows this one for the team
    counts: bool = False
    #: why a scored submission is not ranked; empty: it is, or an other one of the team counts
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The ranking of one track in one phase."""

    track: str
    title: str
    phase: str
    modalities: tuple[str, ...]
    prompts: tuple[str, ...]
    #: why there are no scores or no ranking; empty: there are
    reason: str = ""
    #: what must be known of the ranking, in sentences
    remarks: tuple[str, ...] = ()
    metrics: tuple[ResultMetric, ...] = ()
    #: scored submissions and teams, as far as they are shown
    submissions: int = 0
    teams: int = 0
    subjects: int = 0
    #: targets x modalities x metrics that were ranked
    tasks: int = 0
    #: Kendall's tau-b: mean over resamples to the ranking of all subjects; between both orders
    tau: float | None = None
    tau_between: float | None = None
    #: hashes of the hidden dataset and the protocol; empty: there is no result
    dataset_sha256: str = ""
    protocol_sha256: str = ""
    #: by place; the baseline last
    entries: tuple[Entry, ...] = ()
    pairs: tuple[PairTest, ...] = ()
    history: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """All boards of a challenge, as one audience may see them."""

    format: int = FORMAT
    challenge: str
    title: str
    description: str = ""
    contact: str = ""
    #: "public", "team NAME" or "organiser"
    audience: str
    #: time of the last change that the log has, ISO 8601, UTC
    as_of: str = ""
    order: str
    #: which submission of a team counts: newest or best
    counts: Literal["newest", "best"]
    failures: str
    baseline: str = ""
    resamples: int
    seed: int
    boards: tuple[Board, ...]
