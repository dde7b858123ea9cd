"""``umd report``: a static website of the results of runs."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import by_option, moved_data_option, primary_option


@click.command(
    epilog="Example: umd report region-growing.phantom.paper.1a2b3c4d "
    "random-walker.phantom.paper.5e6f7a8b -o report"
)
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@click.option("--suite", metavar="NAME", help="All runs of this suite, with its control dataset.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write."
)
@click.option("--title", help="Title on every page (default: the suite's, else Report).")
@click.option(
    "--control",
    metavar="DATASET",
    help="Control dataset among the runs, on which the models are known to work.",
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
@click.option(
    "--no-images", is_flag=True, help="Numbers only: no snapshots and no image data of subjects."
)
@click.option("--keep-ids", is_flag=True, help="Show subjects' ids instead of numbers.")
@click.option(
    "--cases",
    type=click.IntRange(0, 1000),
    default=8,
    show_default=True,
    help="Number of cases with snapshots and viewer.",
)
@moved_data_option
@click.option(
    "--niivue",
    type=click.Path(path_type=Path),
    help="The viewer's npm package, for a machine without a network.",
)
def report(
    runs: tuple[str, ...],
    suite: str | None,
    output: Path,
    title: str | None,
    control: str | None,
    margins: tuple[str, ...],
    primaries: tuple[str, ...],
    columns: tuple[str, ...],
    no_images: bool,
    keep_ids: bool,
    cases: int,
    data_root: Path | None,
    niivue: Path | None,
) -> None:
    """Write a static website that compares RUN... (names or folders).

    It opens from a file share and needs no network. By default it shows images of some cases,
    which are data of the subjects; see --no-images.
    """
    from evaluator.cli.compare import families_of, parse_margin
    from evaluator.limits import ensure_limits
    from evaluator.report import Options, write_report
    from evaluator.runs.names import choose_runs
    from evaluator.runs.results import load

    manifest = None
    if suite:
        from evaluator.analysis.control_check import control_name
        from evaluator.evaluation.suites import suite_runs
        from evaluator.manifests.suites import load_suite

        manifest = load_suite(suite)
        runs = (*runs, *(result.run for result in suite_runs(manifest, suite) if result.run))
        title = title or manifest.title
        control = control or control_name(manifest)
        if manifest.control and not control:
            click.echo(
                f"the suite's control dataset {manifest.control} has no run; "
                "the report has no control check",
                err=True,
            )
    if not runs:
        raise click.UsageError("name runs, or a --suite")
    stores = choose_runs(runs, data_root)
    ensure_limits(stores)
    results = load(stores)
    options = Options(
        title=title or "Report",
        images=not no_images,
        keep_ids=keep_ids,
        cases=cases,
        niivue=niivue,
        control=control,
        margins=dict(map(parse_margin, margins)),
        families=families_of(results, manifest, primaries),
        columns=columns,
    )
    click.echo(f"report: {write_report(results, output, options)}")
