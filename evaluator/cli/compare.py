"""``umd compare``: paired comparisons of one run or several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.compare_tables import print_comparison, print_subgroups
from evaluator.cli.options import by_option, json_option, primary_option
from evaluator.cli.tables import table_options

if TYPE_CHECKING:
    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.analysis.comparison.families import Family
    from evaluator.analysis.comparison.subgroups import SubgroupComparison
    from evaluator.manifests.suites import Suite
    from evaluator.runs.results import Results


@click.command(
    epilog="Example: umd compare region-growing.phantom.paper.1a2b3c4d "
    "random-walker.phantom.paper.5e6f7a8b"
)
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@click.option("--suite", metavar="NAME", help="All runs of this suite, with its families of tests.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Only these metrics; the first is the primary one (default: the protocol's).",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="METRIC=X",
    help="Margin of equivalence: differences below X are irrelevant (dice=0.05).",
)
@primary_option
@by_option
@click.option("--round", "number", type=int, help="Round of corrections (default: the last).")
@table_options
@json_option("row of each table")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Write each table, with every column, as a CSV file into this folder.",
)
def compare(
    runs: tuple[str, ...],
    suite: str | None,
    metrics: tuple[str, ...],
    margins: tuple[str, ...],
    primaries: tuple[str, ...],
    columns: tuple[str, ...],
    number: int | None,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Compare modalities and models in RUN... (names or folders), paired within the subject.

    Prints the primary metric, with failures included as the protocol defines. --json and -o have
    all results (docs/statistics.md).
    """
    from evaluator.analysis.comparison.compare_groups import compare as compare_results
    from evaluator.limits import ensure_limits
    from evaluator.runs.names import choose_runs
    from evaluator.runs.results import load

    manifest = None
    if suite:
        from evaluator.evaluation.suites import suite_runs
        from evaluator.manifests.suites import load_suite

        manifest = load_suite(suite)
        ended = suite_runs(manifest, suite)
        runs = (*runs, *(result.run for result in ended if result.run))
    if not runs:
        raise click.UsageError("name runs, or a --suite")
    stores = choose_runs(runs)
    ensure_limits(stores)
    results = load(stores)
    families = families_of(results, manifest, primaries)
    all_margins = dict(map(parse_margin, margins))
    comparison = compare_results(
        results, metrics=metrics, margins=all_margins, families=families, round_number=number
    )
    split = None
    if columns:
        from evaluator.analysis.comparison.subgroups import compare_subgroups

        split = compare_subgroups(
            results,
            columns,
            metric=metrics[0] if metrics else None,
            margins=all_margins,
            families=families,
            round_number=number,
        )
    if folder:
        from evaluator.analysis.comparison.output import write_csv

        for path in write_csv(comparison, folder, split):
            click.echo(path, err=as_json)
    if as_json:
        _print_json(comparison, split)
    elif not folder:
        print_comparison(results, comparison)
        if split:
            print_subgroups(split, {run.label for run in results.runs if run.info.is_circular})


def _print_json(comparison: Comparison, split: SubgroupComparison | None) -> None:
    from evaluator.analysis.comparison.output import rows_of

    for tables in (comparison, split):
        if tables is not None:
            for row in rows_of(tables):
                click.echo(json.dumps(row, allow_nan=False))


def parse_margin(text: str) -> tuple[str, float]:
    """Parse a value of ``--margin`` such as dice=0.05. Raises click.UsageError."""
    metric, _, number = text.partition("=")
    try:
        margin = float(number)
    except ValueError:
        raise click.UsageError(f"--margin {text}: write METRIC=NUMBER, as in dice=0.05") from None
    if not 0 < margin < float("inf"):
        raise click.UsageError(f"--margin {text}: a margin is a finite number above 0")
    return metric.strip(), margin


def families_of(
    results: Results, suite: Suite | None, primaries: tuple[str, ...]
) -> tuple[Family, ...]:
    """Return the families of ``--primary``, then those of the suite."""
    from evaluator.analysis.comparison.families import families_of_suite, parse_primary

    families = tuple(map(parse_primary, primaries))
    if suite is None:
        return families
    models = {run.label for run in results.runs}
    targets = set(map(str, results.scores["target"].unique()))
    return (*families, *families_of_suite(suite, models, targets))
