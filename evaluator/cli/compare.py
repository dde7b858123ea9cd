"""``umd compare``: paired comparisons of one run or several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.tables import format_cell, print_heading, print_table

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.analysis.comparison import Comparison
    from evaluator.runs.results import Results

#: columns of the printed tables, before the estimates
_MODALITY_COLUMNS = (
    "model", "modality_pair", "target", "n", "failed_structural", "failed_functional",
    "mean_structural", "mean_functional",
)  # fmt: skip
_MODEL_COLUMNS = (
    "model", "other", "modality", "n", "failed_model", "failed_other", "mean_model", "mean_other",
)  # fmt: skip
#: headings that differ from the name of the column
_HEADINGS = {
    "n": "subjects",
    "mean_structural": "structural mean\nover subjects",
    "mean_functional": "functional mean\nover subjects",
    "mean_model": "model mean\nover subjects",
    "mean_other": "other mean\nover subjects",
}


@click.command(
    epilog="Example: umd compare region-growing.phantom.paper.1a2b3c4d "
    "random-walker.phantom.paper.5e6f7a8b"
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
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
@click.option("--round", "number", type=int, help="Round of corrections (default: the last).")
@click.option("--json", "as_json", is_flag=True, help="One object for each row of each table.")
@click.option(
    "--csv",
    "folder",
    type=click.Path(path_type=Path),
    help="Write each table as a CSV file into this folder.",
)
def compare(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    margins: tuple[str, ...],
    number: int | None,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Compare modalities and models in RUN... (names or folders), paired within the subject.

    Prints the primary metric, with failures included as the protocol defines. --json and --csv
    have all results (docs/statistics.md).
    """
    from evaluator.analysis.comparison import compare as compare_results
    from evaluator.analysis.comparison.output import rows_of, write_csv
    from evaluator.limits import ensure_limits
    from evaluator.runs.results import load
    from evaluator.runs.store import open_run

    ensure_limits(map(open_run, runs))
    results = load(runs)
    comparison = compare_results(
        results, metrics=metrics, margins=dict(map(parse_margin, margins)), round_number=number
    )
    if folder:
        for path in write_csv(comparison, folder):
            click.echo(path, err=as_json)
    if as_json:
        for row in rows_of(comparison):
            click.echo(json.dumps(row, allow_nan=False))
    elif not folder:
        print_comparison(results, comparison)


def parse_margin(text: str) -> tuple[str, float]:
    """Parse a value of ``--margin`` such as dice=0.05. Raises click.UsageError."""
    metric, _, number = text.partition("=")
    try:
        return metric.strip(), float(number)
    except ValueError:
        raise click.UsageError(f"--margin {text}: write METRIC=NUMBER, as in dice=0.05") from None


def print_comparison(results: Results, comparison: Comparison) -> None:
    """Print each benchmark's modalities, joint models, pairs of models and gaps."""
    for group in results.groups():
        key = (group.dataset, group.protocol.id)
        print_heading(group)
        means = _rows(comparison.means, *key)
        if means.empty:
            click.echo("no scores yet")
            continue
        metric = str(means["metric"].iloc[0])
        modality = _rows(comparison.modality, *key, metric)
        title = f"structural minus functional, {metric}"
        _print_differences(modality, title, _MODALITY_COLUMNS)
        models = _rows(comparison.models, *key, metric)
        overall = models[models["target"] == "all targets"]
        _print_differences(overall, f"model minus other, {metric}, all targets", _MODEL_COLUMNS)
        _print_joint(_rows(comparison.joint, *key, metric))
        _print_gaps(_rows(comparison.gaps, *key, metric))
    margins = ", ".join(f"{name} {value:g}" for name, value in comparison.margins.items())
    click.echo(
        "\nUnit: the subject; a subject's sessions and seeds are averaged first. "
        "Interval: 95 % BCa bootstrap over subjects. p: Wilcoxon signed-rank (Pratt), adjusted by "
        f"Holm over targets x models. Margin of equivalence: {margins}."
    )


def _rows(
    frame: pd.DataFrame, dataset: str, protocol: str, metric: str | None = None
) -> pd.DataFrame:
    selected = (frame["dataset"] == dataset) & (frame["protocol"] == protocol)
    if metric is not None:
        selected &= (frame["metric"] == metric) & (frame["failures"] == "included")
    return frame[selected]


def _print_differences(frame: pd.DataFrame, title: str, names: tuple[str, ...]) -> None:
    if frame.empty:
        return
    rows = []
    for row in frame.to_dict("records"):
        remark = row["explanation"] if row["status"] == "ok" else row["status"]
        estimates = (row["difference"], _interval(row), row["p_holm"], row["verdict"], remark)
        rows.append((*(row[name] for name in names), *estimates))
    headings = [_HEADINGS.get(name, name) for name in names]
    print_table(title, (*headings, "difference", "95 %", "p", "verdict", ""), rows)


def _interval(row: dict[Any, Any]) -> str:
    return f"{format_cell(row['low'])} to {format_cell(row['high'])}"


def _print_joint(frame: pd.DataFrame) -> None:
    for row in frame.to_dict("records"):
        reason = f" ({row['reason']})" if row["reason"] else ""
        click.echo(
            f"all targets jointly: {row['model']} {row['modality_pair']} "
            f"{format_cell(row['difference'])} [{_interval(row)}], p {format_cell(row['p'])}, "
            f"p of the interaction with target {format_cell(row['p_interaction'])}; "
            f"{row['method']}{reason}"
        )


def _print_gaps(frame: pd.DataFrame) -> None:
    for row in frame[frame["gap"] == "generalization gap"].to_dict("records"):
        label = f"generalization gap: {row['model']} {row['modality']}"
        if row["status"] == "unsupported":
            click.echo(f"{label}: not supported")
            continue
        click.echo(
            f"{label} {format_cell(row['value'])} (literature {format_cell(row['literature'])}, "
            f"{row['certainty']}; measured {format_cell(row['measured'])})"
        )
