"""``umd score``: a run's masks again, or any masks against references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evaluator.scoring.files import Settings

BAD_VOLUME = 4


@click.command(
    epilog="Example: umd score region-growing.phantom.paper.1a2b3c4d, or "
    "umd score --prediction predicted/ --reference references/ --labels labels.json --json"
)
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--prediction",
    type=click.Path(path_type=Path, exists=True),
    help="Mask or label map, or a folder of them.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True),
    help="The same, to be compared with.",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True),
    help="The PET image in SUV, for metrics of uptake; or a folder.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help='JSON: {"liver": 5}, {"5": "liver"}, or nnU-Net\'s dataset.json.',
)
@click.option(
    "--prediction-labels",
    type=click.Path(path_type=Path),
    help="The same for predictions with other numbers.",
)
@click.option(
    "--tolerance-mm",
    type=click.FloatRange(min=0, min_open=True),
    help="One NSD tolerance for every target.",
)
@click.option(
    "--tolerances",
    type=click.Path(path_type=Path),
    help="NSD tolerances as in organs.toml (default: that one).",
)
@click.option(
    "--metrics",
    help="Names of docs/metrics.md, with commas between them (default: dice,iou,nsd,hd,hd95,assd,masd,rve).",
)
@click.option(
    "--resample",
    type=click.Choice(["no", "nearest"]),
    default="no",
    show_default=True,
    help="For other grids.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Threads, for pairs at once or for one pair (default: one a core).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Append objects to this file; go on where it ends.",
)
@click.option("--json", "as_json", is_flag=True, help="One object for each pair, one a line.")
def score(
    name: str | None, prediction: Path | None, reference: Path | None, **options: Any
) -> None:
    """Score the masks of RUN again without any container; or --prediction against --reference, files or folders."""
    if name and not (prediction or reference):
        _score_run(name)
    elif prediction and reference and not name:
        _score_files(prediction, reference, options)
    else:
        raise click.UsageError("give a RUN, or --prediction and --reference")


def _score_run(name: str) -> None:
    from evaluator.cli.show import print_table
    from evaluator.runs.store import open_run
    from evaluator.scoring.rescore import score_run

    run = open_run(name)
    score_run(run)
    print_table(run)


def _score_files(prediction: Path, reference: Path, options: dict[str, Any]) -> None:
    from evaluator.errors import VolumeError
    from evaluator.scoring.file_pairs import find_pairs
    from evaluator.scoring.files import score_pairs

    settings = _settings(options)
    pairs, strangers = find_pairs(prediction, reference, options["image"])
    for stranger in strangers:
        click.echo(f"{stranger}: a prediction without a reference is not scored", err=True)
    output: Path | None = options["output"]
    done = {name: line["key"] for name, line in _tidied(output).items()} if output else {}
    failed = 0
    for number, (made, key) in enumerate(
        score_pairs(pairs, settings, threads=options["threads"], done=done), 1
    ):
        if "error" in made and len(pairs) == 1:
            raise VolumeError(made["error"])
        failed += "error" in made
        if output:
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(made | {"key": key}, allow_nan=False) + "\n")
        if options["as_json"]:
            click.echo(json.dumps(made, allow_nan=False))
        else:
            _print(made)
        if len(pairs) > 1:
            click.echo(f"{number}/{len(pairs)} {made['name']}", err=True)
    if output:
        _tidied(output)
    raise SystemExit(BAD_VOLUME if failed else 0)


def _settings(options: dict[str, Any]) -> Settings:
    from evaluator.manifests.organs import load_organs
    from evaluator.scoring.applicability import check_metrics, required_measurements
    from evaluator.scoring.file_pairs import read_label_names
    from evaluator.scoring.files import DEFAULT_METRICS, Settings

    names = (
        tuple(part.strip() for part in options["metrics"].split(","))
        if options["metrics"]
        else DEFAULT_METRICS
    )
    check_metrics(names)
    if "uptake" in required_measurements(names) and not options["image"]:
        raise click.UsageError(
            "metrics of uptake need --image, the PET image in SUV on the reference's grid"
        )
    if options["prediction_labels"] and not options["labels"]:
        raise click.UsageError("--prediction-labels needs --labels, whose names it shares")
    organs, one = load_organs(options["tolerances"]), options["tolerance_mm"]
    return Settings(
        tolerance_mm=(lambda _: one) if one else organs.tolerance_mm,
        labels=read_label_names(options["labels"]) if options["labels"] else None,
        prediction_labels=read_label_names(options["prediction_labels"])
        if options["prediction_labels"]
        else None,
        metrics=names,
        resample=options["resample"],
    )


def _tidied(path: Path) -> dict[str, Any]:
    """The objects in an output file by name, the last of each; others, and what a kill cut short, are taken out of it."""
    objects: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                made = json.loads(line)
            except ValueError:
                continue
            objects[made["name"]] = made
        whole = path.with_name(f".writing-{path.name}")
        whole.write_text(
            "".join(json.dumps(made) + "\n" for made in objects.values()), encoding="utf-8"
        )
        whole.replace(path)
    return objects


def _print(made: dict[str, Any]) -> None:
    if "error" in made:
        click.echo(f"{made['name']}: {made['error']}")
        return
    for target in made["targets"]:
        values = {key: value for key, value in target.items() if isinstance(value, float)}
        told = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        click.echo(f"{made['name']}  {target['name']}  {target['status']}  {told}")
