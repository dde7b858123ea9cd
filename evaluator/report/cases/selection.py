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


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A case with a page of its own."""

    dataset: str
    case: str
    #: what it is called in the report, in text and in file names
    label: str
    runs: Sequence[tuple[Benchmark, RunFacts]]
    #: draws that are shown beside the first of each protocol
    seeds: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its page."""
        return f"cases/{slug(self.dataset)}-{slug(self.label)}.html"


def choose(report: Report, picks: Sequence[Pick], most: int) -> list[CasePage]:
    """At most so many cases: those with most picks first, every dataset in turn."""
    by_dataset: dict[str, Counter[str]] = {}
    datasets = {benchmark.key: benchmark.group.dataset for benchmark in report.benchmarks}
    for dataset in datasets.values():
        by_dataset.setdefault(dataset, Counter())
    for pick in picks:
        by_dataset[datasets[pick.benchmark]][pick.case] += 1
    for benchmark in report.benchmarks:
        for case in benchmark.group.results.scores["case"].unique():
            by_dataset[benchmark.group.dataset].setdefault(str(case), 0)
    queues = [[(d, c) for c, _ in counter.most_common()] for d, counter in by_dataset.items()]
    chosen: list[tuple[str, str]] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return [_case_page(report, dataset, case, picks) for dataset, case in chosen[:most]]


def _case_page(report: Report, dataset: str, case: str, picks: Sequence[Pick]) -> CasePage:
    benchmarks = [
        benchmark for benchmark in report.benchmarks if benchmark.group.dataset == dataset
    ]
    seeds: dict[str, set[int]] = {}
    for pick in picks:
        if pick.case == case:
            seeds.setdefault(pick.benchmark, set()).add(pick.seed)
    return CasePage(
        dataset=dataset,
        case=case,
        label=case_label(report, dataset, case),
        runs=[(benchmark, run) for benchmark in benchmarks for run in benchmark.runs],
        seeds={key: frozenset(own) for key, own in seeds.items()},
    )


def case_label(report: Report, dataset: str, case: str) -> str:
    """The subject's name in the report; with the number of the session where it has several."""
    if report.privacy.keep_ids:
        return case
    scores = report.results.scores
    own = scores[scores["dataset"] == dataset]
    subject = str(own.loc[own["case"] == case, "subject"].iloc[0])
    sessions = sorted(map(str, own.loc[own["subject"] == subject, "case"].unique()))
    name = report.privacy.subject(dataset, subject)
    return name if len(sessions) == 1 else f"{name}-{sessions.index(case) + 1}"


#: worst predictions of a model on a modality that are looked at, each of another kind
WORST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A prediction worth a picture."""

    benchmark: str
    run: str
    model: str
    case: str
    modality: str
    target: str
    seed: int
    round: int
    #: "worst" or "median"
    why: str
    #: of its mistake; empty for none
    kind: str
    score: float


def find_picks(benchmarks: Sequence[Benchmark], failure_analysis: FailureAnalysis) -> list[Pick]:
    """The worst predictions of different kinds and a median one of each model and modality, models in turn."""
    kinds = {_key(row): str(row.failure_mode) for row in rows_of(failure_analysis.cases)}
    keys = {
        (benchmark.group.dataset, benchmark.protocol.id): benchmark.key for benchmark in benchmarks
    }
    own: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in rows_of(failure_analysis.picks):
        own[keys[row.dataset, row.protocol], row.model, row.modality].append(row)
    queues = [_best(benchmark, rows, kinds) for (benchmark, _, _), rows in own.items()]
    return [pick for turn in zip_longest(*queues) for pick in turn if pick]


def _best(benchmark: str, rows: list[Any], kinds: dict[Any, str]) -> list[Pick]:
    chosen: list[Pick] = []
    seen: set[str] = set()
    for row in sorted((row for row in rows if row.pick == "worst"), key=lambda row: row.score):
        kind = kinds.get(_key(row), "")
        if kind not in seen and len(chosen) < WORST:
            chosen.append(_pick(benchmark, row, kind))
            seen.add(kind)
    medians = sorted((row for row in rows if row.pick == "median"), key=lambda row: row.score)
    middle = medians[len(medians) // 2]
    return [*chosen, _pick(benchmark, middle, kinds.get(_key(middle), ""))]


def _pick(benchmark: str, row: Any, kind: str) -> Pick:
    return Pick(
        benchmark=benchmark, run=str(row.run), model=str(row.model), case=str(row.case), modality=str(row.modality),
        target=str(row.target), seed=int(row.seed), round=int(row.round), why=str(row.pick), kind=kind,
        score=float(row.score),
    )  # fmt: skip


def _key(row: Any) -> tuple[Any, ...]:
    return (row.run, row.case, row.modality, row.target, row.seed, row.round)
