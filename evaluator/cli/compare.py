"""``umd compare``: paired comparisons of one run or many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.tables import figure, print_heading, print_table

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.analysis.comparison import Comparison
    from evaluator.runs.results import Results


@click.command(
    epilog="Example: umd compare region-growing.phantom.paper.1a2b3c4d random-walker.phantom.paper.5e6f7a8b"
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Only these; the first is the main one (default: the protocol's).",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="METRIC=X",
    help="Differences below X count as none (dice=0.05).",
)
@click.option("--round", "number", type=int, help="This round of corrections (default: the last).")
@click.option("--json", "as_json", is_flag=True, help="One object for each row of each frame.")
@click.option(
    "--csv",
    "folder",
    type=click.Path(path_type=Path),
    help="Write each frame as a CSV file into this folder.",
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

    Prints the main metric, a failure counted as the protocol says; --json and --csv have all (docs/statistics.md).
    """
    from evaluator.analysis.comparison import compare as compare_results
    from evaluator.analysis.comparison.output import rows_of, write_csv
    from evaluator.runs.results import load

    results = load(runs)
    made = compare_results(
        results, metrics=metrics, margins=dict(map(parse_margin, margins)), round_number=number
    )
    if folder:
        for path in write_csv(made, folder):
            click.echo(path, err=as_json)
    if as_json:
        for row in rows_of(made):
            click.echo(json.dumps(row, allow_nan=False))
    elif not folder:
        print_comparison(results, made)


def parse_margin(text: str) -> tuple[str, float]:
    """What ``--margin`` says: dice=0.05."""
    metric, _, number = text.partition("=")
    try:
        return metric.strip(), float(number)
    except ValueError:
        raise click.UsageError(f"--margin {text}: write METRIC=NUMBER, as in dice=0.05") from None


def print_comparison(results: Results, made: Comparison) -> None:
    """Print each group's modalities, joint models, pairs of models and gaps, and what the figures mean."""
    for group in results.groups():
        print_heading(group)
        means = _of(made.means, group.dataset, group.protocol.id)
        if means.empty:
            click.echo("no scores yet")
            continue
        main = means["metric"].iloc[0]
        _print_frame(
            _of(made.modality, group.dataset, group.protocol.id, main),
            f"structural minus functional, {main}",
            (
                "model",
                "modality_pair",
                "target",
                "n",
                "failed_structural",
                "failed_functional",
                "mean_structural",
                "mean_functional",
            ),
        )
        models = _of(made.models, group.dataset, group.protocol.id, main)
        _print_frame(
            models[models["target"] == "all targets"],
            f"model minus other, {main}, all targets",
            (
                "model",
                "other",
                "modality",
                "n",
                "failed_model",
                "failed_other",
                "mean_model",
                "mean_other",
            ),
        )
        _print_joint(_of(made.joint, group.dataset, group.protocol.id, main))
        _print_gaps(_of(made.gaps, group.dataset, group.protocol.id, main))
    click.echo(
        "\nUnit: the subject. Interval: 95 % BCa bootstrap. p: Wilcoxon signed-rank (Pratt), adjusted by Holm over targets x "
        "models. Margin: "
        + ", ".join(f"{name} {value:g}" for name, value in made.margins.items())
        + "."
    )


def _of(
    frame: pd.DataFrame, dataset: str, protocol: str, metric: str | None = None
) -> pd.DataFrame:
    chosen = (frame["dataset"] == dataset) & (frame["protocol"] == protocol)
    if metric is not None:
        chosen &= (frame["metric"] == metric) & (frame["failures"] == "included")
    return frame[chosen]


def _print_frame(frame: pd.DataFrame, title: str, names: tuple[str, ...]) -> None:
    if frame.empty:
        return
    rows = []
    for row in frame.to_dict("records"):
        interval = f"{figure(row['low'])} to {figure(row['high'])}"
        said = "" if row["status"] == "ok" else row["status"]
        cells = (
            row["difference"],
            interval,
            row["p_holm"],
            row["verdict"],
            said or row["explanation"],
        )
        rows.append((*(row[name] for name in names), *cells))
    print_table(title, (*names, "difference", "95 %", "p", "verdict", ""), rows)


def _print_joint(frame: pd.DataFrame) -> None:
    for row in frame.to_dict("records"):
        how = row["method"] + (f" ({row['reason']})" if row["reason"] else "")
        interval = f"[{figure(row['low'])}, {figure(row['high'])}]"
        click.echo(
            f"all targets jointly: {row['model']} {row['modality_pair']} {figure(row['difference'])} {interval}, "
            f"p {figure(row['p'])}, differs by target p {figure(row['p_interaction'])}; {how}"
        )


def _print_gaps(frame: pd.DataFrame) -> None:
    for row in frame[frame["gap"] == "generalization gap"].to_dict("records"):
        if row["status"] == "unsupported":
            click.echo(f"generalization gap: {row['model']} {row['modality']}: not supported")
            continue
        click.echo(
            f"generalization gap: {row['model']} {row['modality']} {figure(row['value'])} "
            f"(literature {figure(row['literature'])}, {row['certainty']}; measured {figure(row['measured'])})"
        )
