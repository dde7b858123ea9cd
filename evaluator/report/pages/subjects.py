"""Subject by subject: slope graphs, distributions and volumes by target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.analysis.comparison.volume_agreement import subject_volumes
from evaluator.metrics.metric_table import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.agreement import agreement
from evaluator.report.figures.distributions import distributions
from evaluator.report.figures.slopes import slopes
from evaluator.report.site import slug
from evaluator.report.subject_values import paired_values, score_array_of, subject_values
from evaluator.runs.tables import last_round

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def make(report: Report) -> list[Page]:
    """One page for each benchmark, so that none grows too large."""
    several = len(report.benchmarks) > 1
    files = [
        "subjects.html" if n == 0 else f"subjects-{slug(s.key)}.html"
        for n, s in enumerate(report.benchmarks)
    ]
    links = [
        {"file": file, "short": benchmark.short}
        for file, benchmark in zip(files, report.benchmarks, strict=True)
    ]
    return [
        Page(
            file=file,
            nav="subjects.html",
            title="Subject by subject",
            short="Subject by subject",
            template="subjects.html",
            context={
                "benchmark": benchmark,
                "links": links if several else [],
                "current": file,
                "targets": _targets(report, benchmark),
            },
        )
        for file, benchmark in zip(files, report.benchmarks, strict=True)
    ]


def _targets(report: Report, benchmark: Benchmark) -> list[dict[str, Any]]:
    score_array = score_array_of(benchmark, benchmark.metric)
    values, paired = (
        subject_values(benchmark, score_array, report.privacy),
        paired_values(benchmark, score_array, report.privacy),
    )
    volumes, limits = _volumes(report, benchmark), benchmark.comparison.volumes
    limits = limits[limits["modality_pair"] == "all"] if len(limits) else limits
    sections: list[dict[str, Any]] = []
    for target in benchmark.targets:
        selected = values[values["target"] == target]
        if selected["value"].notna().sum() == 0:
            sections.append(
                {
                    "name": target,
                    "anchor": slug(target),
                    "slopes": None,
                    "distributions": None,
                    "volumes": None,
                }
            )
            continue
        pairs = paired[paired["target"] == target] if len(paired) else paired
        lines: Any = {
            "name": f"{benchmark.key}.slopes.{slug(target)}",
            "warnings": benchmark.warnings,
        }
        boxes: Any = {
            "name": f"{benchmark.key}.distributions.{slug(target)}",
            "warnings": benchmark.warnings,
        }
        sizes = volumes[volumes["target"] == target]
        marks: Any = {
            "name": f"{benchmark.key}.agreement.{slug(target)}",
            "warnings": benchmark.warnings,
        }
        sections.append(
            {
                "name": target,
                "anchor": slug(target),
                "slopes": report.site.figure(slopes(pairs, target, benchmark.metric, **lines))
                if len(pairs)
                else None,
                "distributions": report.site.figure(
                    distributions(selected, target, benchmark.metric, **boxes)
                ),
                "volumes": report.site.figure(
                    agreement(sizes, limits[limits["target"] == target], target, **marks)
                )
                if len(sizes)
                else None,
            }
        )
    report.site.data(
        f"{benchmark.key}.subjects",
        f"{METRICS[benchmark.metric].title} of each subject, {benchmark.short}",
        values,
        benchmark.warnings,
    )
    return sections


def _volumes(report: Report, benchmark: Benchmark) -> pd.DataFrame:
    """Each subject's volumes, under the names that the report has for subjects."""
    volumes = subject_volumes(benchmark.group, last_round(benchmark.group.results.scores))
    named = [
        report.privacy.subject(benchmark.group.dataset, str(item)) for item in volumes["subject"]
    ]
    return volumes.assign(subject=named)
