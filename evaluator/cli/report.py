"""``umd report``: one static site of runs' results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="Example: umd report region-growing.phantom.paper.1a2b3c4d random-walker.phantom.paper.5e6f7a8b -o report"
)
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@click.option("--suite", metavar="NAME", help="All runs of this suite, with its control.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to be made."
)
@click.option("--title", help="What stands on every page (default: the suite's, else Report).")
@click.option(
    "--control",
    metavar="DATASET",
    help="The dataset among the runs on which the models are known to work.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="METRIC=X",
    help="Differences below X count as none (dice=0.05).",
)
@click.option(
    "--no-images", is_flag=True, help="Numbers alone: no picture and no volume of a subject."
)
@click.option("--keep-ids", is_flag=True, help="Subjects under their own ids instead of numbers.")
@click.option(
    "--cases",
    type=click.IntRange(0, 1000),
    default=8,
    show_default=True,
    help="Cases with pictures and viewer.",
)
@click.option(
    "--niivue",
    type=click.Path(path_type=Path),
    help="The viewer's package, for a machine without a network.",
)
def report(
    runs: tuple[str, ...],
    suite: str | None,
    output: Path,
    title: str | None,
    control: str | None,
    margins: tuple[str, ...],
    no_images: bool,
    keep_ids: bool,
    cases: int,
    niivue: Path | None,
) -> None:
    """Write one static site that compares RUN... (names or folders); it opens from a file share, without a network.

    Unless told otherwise it shows some cases with their images, which are the subjects' data: see --no-images.
    """
    from evaluator.cli.compare import parse_margin
    from evaluator.report import Options, build_report

    if suite:
        from evaluator.analysis.control_check import control_name
        from evaluator.evaluation.suites import suite_runs
        from evaluator.manifests.suites import load_suite

        found = load_suite(suite)
        runs = (*runs, *(one.run for one in suite_runs(found) if one.run))
        title, control = title or found.title, control or control_name(found)
        if found.control and not control:
            click.echo(
                f"the suite's control, {found.control}, has no run: the report is without a control",
                err=True,
            )
    if not runs:
        raise click.UsageError("name runs, or a --suite")
    options = Options(
        title=title or "Report",
        images=not no_images,
        keep_ids=keep_ids,
        cases=cases,
        niivue=niivue,
        control=control,
        margins=dict(map(parse_margin, margins)),
    )
    click.echo(f"report: {build_report(runs, output, options)}")
