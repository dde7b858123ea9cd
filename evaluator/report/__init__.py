"""The report: a static website of the results of runs (``docs/report.md``).

It opens from a file share and needs no network.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.data_warnings import warnings_of_runs
from evaluator.analysis.failures import find_failures
from evaluator.errors import UnknownNameError
from evaluator.limits import ensure_limits
from evaluator.report.benchmark import DOUBTS, RANDOM, SYNTHETIC, make_benchmarks
from evaluator.report.cases.selection import find_picks
from evaluator.report.context import Options, Page, Report
from evaluator.report.pages import (
    cases,
    downloads,
    failures,
    lesions,
    methods,
    modalities,
    overview,
    provenance,
    ranking,
    resolution,
    robustness,
    rounds,
    subgroups,
    subjects,
    times,
)
from evaluator.report.privacy import make_privacy
from evaluator.report.site import Entry, Site, SiteHeader
from evaluator.report.tables import count_noun, rows_of
from evaluator.runs.names import choose_runs
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
PAGES = (
    overview,
    modalities,
    subjects,
    subgroups,
    lesions,
    ranking,
    rounds,
    robustness,
    resolution,
)
#: after failures and cases; downloads list the files of all other pages
LAST_PAGES = (times, methods, provenance, downloads)
_MEANING = {
    "keeps-state": "Their results depend on the order of cases.",
    "not-deterministic": "Repeated predictions of the same scan differ.",
}


def build_report(
    runs: Iterable[str | Path | RunStore],
    folder: Path,
    options: Options,
) -> Path:
    """Write the report of some runs.

    Args:
        runs: Names, folders or stores of the runs.
        folder: Folder to write; an earlier report there is replaced.
        options: What the report contains.

    Returns:
        The file to open.

    Raises:
        UserError: The runs cannot be compared, or the folder exists and is not a report.
    """
    stores = choose_runs(runs)
    ensure_limits(stores)
    return write_report(load(stores), folder, options)


def write_report(results: Results, folder: Path, options: Options) -> Path:
    """Write the report of loaded results; see ``build_report``."""
    datasets = {run.dataset for run in results.runs}
    if options.control is not None and options.control not in datasets:
        raise UnknownNameError("dataset among the runs", options.control, datasets)
    with Site(folder) as site:
        logger.info(
            f"comparing {count_noun(len(results.runs), 'run')}, {len(results.scores)} scores"
        )
        comparison = compare(results, margins=options.margins, families=options.families)
        benchmarks = make_benchmarks(results, comparison)
        logger.info("analysing failures; every mask is read once, then cached")
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
        logger.info("writing cases")
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
        page_or_pages: Page | list[Page] | None = module.make(report)
        pages += (
            []
            if page_or_pages is None
            else [page_or_pages]
            if isinstance(page_or_pages, Page)
            else page_or_pages
        )
        if page_or_pages:
            logger.info(f"page written: {pages[-1].short}")
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
        lines.append(f"{SYNTHETIC}: {', '.join(names)}. These results do not apply to patients.")
    for benchmark in report.benchmarks:
        # the subjects and files that a line names are withheld
        data = [report.privacy.text(line) for line in warnings_of_runs(benchmark.runs)]
        lines += [f"{benchmark.short}: {line}" for line in dict.fromkeys(data)]
    if random := sorted({run.label for run in report.results.runs if run.random_weights}):
        lines.append(
            f"{RANDOM}: {', '.join(random)}. Only the code was tested; the scores have no meaning."
        )
    for verdict, meaning in _MEANING.items():
        if names := sorted(
            {run.label for run in report.results.runs if run.reproducibility == verdict}
        ):
            lines.append(f"{DOUBTS[verdict]}: {', '.join(names)}. {meaning}")
    return tuple(lines)
