"""Which cases and predictions the report shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from evaluator.report.site import slug
from evaluator.report.tables import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.failures import FailureAnalysis
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report
    from evaluator.runs.results import RunFacts

#: worst predictions of a model on a modality that get a snapshot, each of another failure mode
WORST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A case that has a page in the report."""

    dataset: str
    case: str
    #: name of the case in the report, in text and in file names
    label: str
    runs: Sequence[tuple[Benchmark, RunFacts]]
    #: benchmark's key -> seeds that are shown in addition to the protocol's first one
    seeds: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The file of the page."""
        return f"cases/{slug(self.dataset)}-{slug(self.label)}.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A prediction that gets a snapshot."""

    #: key of the benchmark
    benchmark: str
    run: str
    model: str
    case: str
    modality: str
    target: str
    seed: int
    round: int
    #: "worst" or "median"
    reason: str
    #: empty if the prediction is not poor
    failure_mode: str
    score: float


def choose_cases(report: Report, picks: Sequence[Pick], limit: int) -> list[CasePage]:
    """Choose cases: those with most picks first, every dataset in turn.

    Args:
        report: The report.
        picks: Predictions that get a snapshot.
        limit: Largest number of cases.
    """
    datasets = {benchmark.key: benchmark.group.dataset for benchmark in report.benchmarks}
    by_dataset: dict[str, Counter[str]] = {dataset: Counter() for dataset in datasets.values()}
    for pick in picks:
        by_dataset[datasets[pick.benchmark]][pick.case] += 1
    for benchmark in report.benchmarks:
        for case in benchmark.group.results.scores["case"].unique():
            by_dataset[benchmark.group.dataset].setdefault(str(case), 0)
    queues = []
    for dataset, counter in by_dataset.items():
        queues.append([(dataset, case) for case, _ in counter.most_common()])
    chosen: list[tuple[str, str]] = []
    for row in zip_longest(*queues):
        chosen += [key for key in row if key is not None]
    return [_case_page(report, dataset, case, picks) for dataset, case in chosen[:limit]]


def _case_page(report: Report, dataset: str, case: str, picks: Sequence[Pick]) -> CasePage:
    runs: list[tuple[Benchmark, RunFacts]] = []
    for benchmark in report.benchmarks:
        if benchmark.group.dataset == dataset:
            runs += [(benchmark, run) for run in benchmark.runs]
    seeds: dict[str, set[int]] = {}
    for pick in picks:
        if pick.case == case:
            seeds.setdefault(pick.benchmark, set()).add(pick.seed)
    return CasePage(
        dataset=dataset,
        case=case,
        label=case_label(report, dataset, case),
        runs=runs,
        seeds={key: frozenset(numbers) for key, numbers in seeds.items()},
    )


def case_label(report: Report, dataset: str, case: str) -> str:
    """Return the subject's name in the report, with the session's number if it has several."""
    if report.privacy.keep_ids:
        return case
    scores = report.results.scores
    scores = scores[scores["dataset"] == dataset]
    subject = str(scores.loc[scores["case"] == case, "subject"].iloc[0])
    sessions = sorted(map(str, scores.loc[scores["subject"] == subject, "case"].unique()))
    name = report.privacy.subject(dataset, subject)
    return name if len(sessions) == 1 else f"{name}-{sessions.index(case) + 1}"


def find_picks(benchmarks: Sequence[Benchmark], failure_analysis: FailureAnalysis) -> list[Pick]:
    """Pick predictions for snapshots, one model after another.

    They are the worst predictions of different failure modes and one median prediction of each
    model and modality.
    """
    failure_modes = {_key(row): str(row.failure_mode) for row in rows_of(failure_analysis.cases)}
    keys = {
        (benchmark.group.dataset, benchmark.protocol.id): benchmark.key for benchmark in benchmarks
    }
    by_model: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in rows_of(failure_analysis.picks):
        by_model[keys[row.dataset, row.protocol], row.model, row.modality].append(row)
    queues = [_picks(benchmark, rows, failure_modes) for (benchmark, *_), rows in by_model.items()]
    picks: list[Pick] = []
    for group in zip_longest(*queues):
        picks += [pick for pick in group if pick is not None]
    return picks


def _picks(benchmark: str, rows: list[Any], failure_modes: dict[Any, str]) -> list[Pick]:
    by_score = sorted(rows, key=lambda row: row.score)
    picks: list[Pick] = []
    seen: set[str] = set()
    for row in by_score:
        failure_mode = failure_modes.get(_key(row), "")
        if row.pick == "worst" and failure_mode not in seen and len(picks) < WORST:
            picks.append(_pick(benchmark, row, failure_mode))
            seen.add(failure_mode)
    medians = [row for row in by_score if row.pick == "median"]
    middle = medians[len(medians) // 2]
    return [*picks, _pick(benchmark, middle, failure_modes.get(_key(middle), ""))]


def _pick(benchmark: str, row: Any, failure_mode: str) -> Pick:
    return Pick(
        benchmark=benchmark,
        run=str(row.run),
        model=str(row.model),
        case=str(row.case),
        modality=str(row.modality),
        target=str(row.target),
        seed=int(row.seed),
        round=int(row.round),
        reason=str(row.pick),
        failure_mode=failure_mode,
        score=float(row.score),
    )


def _key(row: Any) -> tuple[Any, ...]:
    return (row.run, row.case, row.modality, row.target, row.seed, row.round)
