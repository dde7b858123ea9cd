"""The subjects behind the means: slope graphs, distributions and volumes for each target, a page for each study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.analysis.comparison.volume_agreement import subject_volumes
from evaluator.metrics import METRICS
from evaluator.report.context import Page
from evaluator.report.figures.agreement import agreement
from evaluator.report.figures.distributions import distributions
from evaluator.report.figures.slopes import slopes
from evaluator.report.site import slug
from evaluator.report.subject_values import cube_of, paired_values, subject_values
from evaluator.runs.tables import last_round

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report


def make(report: Report) -> list[Page]:
    """One page for each study, so that none grows too large."""
    several = len(report.studies) > 1
    files = [
        "subjects.html" if n == 0 else f"subjects-{slug(s.key)}.html"
        for n, s in enumerate(report.studies)
    ]
    links = [
        {"file": file, "short": study.short}
        for file, study in zip(files, report.studies, strict=True)
    ]
    return [
        Page(
            file=file,
            nav="subjects.html",
            title="Subject by subject",
            short="Subject by subject",
            template="subjects.html",
            context={
                "study": study,
                "links": links if several else [],
                "here": file,
                "targets": _targets(report, study),
            },
        )
        for file, study in zip(files, report.studies, strict=True)
    ]


def _targets(report: Report, study: Benchmark) -> list[dict[str, Any]]:
    cube = cube_of(study, study.metric)
    values, paired = (
        subject_values(study, cube, report.privacy),
        paired_values(study, cube, report.privacy),
    )
    volumes, limits = _volumes(report, study), study.comparison.volumes
    limits = limits[limits["modality_pair"] == "all"] if len(limits) else limits
    made: list[dict[str, Any]] = []
    for target in study.targets:
        own = values[values["target"] == target]
        if own["value"].notna().sum() == 0:
            made.append(
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
        lines: Any = {"name": f"{study.key}.slopes.{slug(target)}", "stamps": study.stamps}
        boxes: Any = {"name": f"{study.key}.distributions.{slug(target)}", "stamps": study.stamps}
        sizes = volumes[volumes["target"] == target]
        marks: Any = {"name": f"{study.key}.agreement.{slug(target)}", "stamps": study.stamps}
        made.append(
            {
                "name": target,
                "anchor": slug(target),
                "slopes": report.site.figure(slopes(pairs, target, study.metric, **lines))
                if len(pairs)
                else None,
                "distributions": report.site.figure(
                    distributions(own, target, study.metric, **boxes)
                ),
                "volumes": report.site.figure(
                    agreement(sizes, limits[limits["target"] == target], target, **marks)
                )
                if len(sizes)
                else None,
            }
        )
    report.site.data(
        f"{study.key}.subjects",
        f"{METRICS[study.metric].title} of each subject, {study.short}",
        values,
        study.stamps,
    )
    return made


def _volumes(report: Report, study: Benchmark) -> pd.DataFrame:
    """Each subject's volumes, under the names that the report has for subjects."""
    volumes = subject_volumes(study.group, last_round(study.group.results.scores))
    named = [report.privacy.subject(study.group.dataset, str(one)) for one in volumes["subject"]]
    return volumes.assign(subject=named)
