"""The report: one static site of runs' results that opens from a file share, without a network (``docs/report.md``)."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from evaluator.analysis.comparison import compare
from evaluator.analysis.failures import find_failures
from evaluator.errors import UnknownNameError
from evaluator.report.benchmark import DOUBTS, RANDOM, SYNTHETIC, make_benchmarks
from evaluator.report.cases.selection import find_picks
from evaluator.report.context import Options, Page, Report
from evaluator.report.pages import (
    cases,
    downloads,
    failures,
    methods,
    modalities,
    overview,
    provenance,
    ranking,
    robustness,
    rounds,
    subjects,
    times,
)
from evaluator.report.privacy import make_privacy
from evaluator.report.site import Entry, Site, SiteHeader
from evaluator.report.tables import count_noun, rows_of
from evaluator.runs.results import load

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evaluator.report.privacy import Privacy
    from evaluator.runs.results import Results
    from evaluator.runs.store import RunStore

logger = logging.getLogger(__name__)

__all__ = ["Options", "build_report", "write_report"]

#: in the order of the navigation
PAGES = (overview, modalities, subjects, ranking, rounds, robustness)
#: after failures and cases; downloads list what all others kept
LAST_PAGES = (times, methods, provenance, downloads)
_MEANING = {
    "keeps-state": "Asked alone they give other masks: their scores hang on the order of the cases.",
    "not-deterministic": "Asked twice they give other masks.",
}


def build_report(
    runs: Iterable[str | Path | RunStore],
    folder: Path,
    options: Options,
) -> Path:
    """Write the report of these runs; returns the file to open.

    Raises UserError for what the user can mend: runs that cannot be compared, a folder that is something else.
    """
    return write_report(load(runs), folder, options)


def write_report(results: Results, folder: Path, options: Options) -> Path:
    """The same for results that are loaded."""
    datasets = {run.dataset for run in results.runs}
    if options.control is not None and options.control not in datasets:
        raise UnknownNameError("dataset among the runs", options.control, datasets)
    with Site(folder) as site:
        logger.info(
            f"comparing {count_noun(len(results.runs), 'run')}, {len(results.scores)} scores"
        )
        comparison = compare(results, margins=options.margins)
        benchmarks = make_benchmarks(results, comparison)
        logger.info("looking for failures; masks are read once and remembered")
        report = Report(
            failure_analysis=find_failures(results),
            comparison=comparison,
            options=options,
            privacy=_privacy(results, keep_ids=options.keep_ids),
            results=results,
            site=site,
            benchmarks=benchmarks,
        )
        picks = find_picks(benchmarks, report.failure_analysis)
        pages = _made(report, PAGES)
        logger.info("showing cases")
        shown, snapshots = cases.make(report, picks)
        pages += [failures.make(report, snapshots), *shown, *_made(report, LAST_PAGES)]
        header = _site_header(report, pages)
        for page in pages:
            site.page(page.file, page.template, header, page=page, **page.context)
    return site.folder / "index.html"


def _privacy(results: Results, *, keep_ids: bool) -> Privacy:
    names = rows_of(results.scores[["dataset", "subject", "case"]].drop_duplicates())
    salts = (run.info.salt for run in results.runs)
    return make_privacy(
        ((str(row.dataset), str(row.subject), str(row.case)) for row in names),
        salts,
        keep_ids=keep_ids,
    )


def _made(report: Report, modules: Iterable[Any]) -> list[Page]:
    pages: list[Page] = []
    for module in modules:
        made: Page | list[Page] | None = module.make(report)
        pages += [] if made is None else [made] if isinstance(made, Page) else made
        if made:
            logger.info(f"drawn: {pages[-1].short}")
    return pages


def _site_header(report: Report, pages: list[Page]) -> SiteHeader:
    lines = dict.fromkeys(Entry(file=page.nav, short=page.short) for page in pages)
    return SiteHeader(
        title=report.options.title,
        subtitle=" · ".join(dict.fromkeys(run.dataset for run in report.results.runs)),
        made_by=f"umd {version('umd-evaluator')}",
        warnings=_warning_lines(report),
        navigation=tuple(lines),
    )


def _warning_lines(report: Report) -> tuple[str, ...]:
    lines = []
    if SYNTHETIC in report.warnings:
        names = sorted(
            {
                benchmark.group.dataset
                for benchmark in report.benchmarks
                if benchmark.group.synthetic
            }
        )
        lines.append(
            f"{SYNTHETIC}: {', '.join(names)}. Made by a program; these figures say nothing about patients."
        )
    if random := sorted({run.label for run in report.results.runs if run.random_weights}):
        lines.append(
            f"{RANDOM}: {', '.join(random)}. The code ran, the model did not; no figure of it means anything."
        )
    for verdict, meaning in _MEANING.items():
        if names := sorted(
            {run.label for run in report.results.runs if run.reproducibility == verdict}
        ):
            lines.append(f"{DOUBTS[verdict]}: {', '.join(names)}. {meaning}")
    return tuple(lines)
