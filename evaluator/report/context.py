"""What every page is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.analysis.comparison.families import Family
    from evaluator.analysis.failures import FailureAnalysis
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.privacy import Privacy
    from evaluator.report.site import Site
    from evaluator.runs.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user chooses."""

    title: str = "Report"
    #: with pictures, volumes and the viewer; without, no voxel of a subject leaves
    images: bool = True
    #: subjects' ids stand as they are
    keep_ids: bool = False
    #: how many cases get pictures and the viewer
    cases: int = 8
    #: a copy of the viewer's package, for machines without a network
    niivue: Path | None = None
    #: name of the dataset on which the models are known to work
    control: str | None = None
    #: metric -> margin of equivalence, over the comparison's own
    margins: Mapping[str, float] = field(default_factory=dict)
    #: declared families of tests
    families: Sequence[Family] = ()
    #: columns of the datasets' tables of subjects; results are also compared within subgroups
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report in the making."""

    options: Options
    results: Results
    comparison: Comparison
    benchmarks: Sequence[Benchmark]
    privacy: Privacy
    failure_analysis: FailureAnalysis
    site: Site

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all benchmarks, each once."""
        return tuple(
            dict.fromkeys(
                warning for benchmark in self.benchmarks for warning in benchmark.warnings
            )
        )

    @property
    def unregistered(self) -> tuple[str, ...]:
        """Benchmarks in which the images of a case did not get one prompt."""
        return tuple(benchmark.short for benchmark in self.benchmarks if benchmark.unregistered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page before it is written; ``nav`` is the file of its line in the navigation."""

    file: str
    title: str
    short: str
    template: str
    context: dict[str, Any]
    nav: str
