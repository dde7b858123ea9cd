"""``umd score``: score a run again, or any masks against references."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.options import PATH, json_option

if TYPE_CHECKING:
    from evaluator.scoring.files import Settings
logger = logging.getLogger(__name__)

INVALID_VOLUME_EXIT = 4


@click.command(
    epilog="Example: umd score region-growing.phantom.paper.1a2b3c4d, or "
    "umd score --prediction predicted/ --reference references/ --labels labels.json --json"
)
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--prediction",
    type=click.Path(path_type=Path, exists=True),
    help="Predicted mask or label map, or a folder of them.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True),
    help="Reference mask or label map, or a folder of them.",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True),
    help="PET image in SUV, or a folder of them; required for metrics of uptake.",
)
@click.option(
    "--labels",
    type=PATH,
    help='Label values in JSON: {"liver": 5}, {"5": "liver"}, or nnU-Net\'s dataset.json.',
)
@click.option(
    "--prediction-labels",
    type=PATH,
    help="Label values of the predictions, if they differ from --labels.",
)
@click.option(
    "--tolerance-mm",
    type=click.FloatRange(min=0, min_open=True),
    help="One NSD tolerance for all targets, millimetres.",
)
@click.option(
    "--tolerances",
    type=PATH,
    help="File of NSD tolerances (default: the project's organs.toml).",
)
@click.option(
    "--metrics",
    help="Names from docs/metrics.md, separated by commas "
    "(default: dice,iou,nsd,hd,hd95,assd,masd,rve).",
)
@click.option(
    "--resample",
    type=click.Choice(["no", "nearest"]),
    default="no",
    show_default=True,
    help="Resample predictions on a different grid than the reference.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Threads for several pairs or for a single pair (default: one per core).",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="Append JSON objects to this file; pairs already in it are skipped.",
)
@json_option("pair")
def score(
    name: str | None, prediction: Path | None, reference: Path | None, **options: Any
) -> None:
    """Score the masks of RUN again, without containers, or --prediction against --reference."""
    if name and not (prediction or reference):
        _score_run(name)
    elif prediction and reference and not name:
        _score_files(prediction, reference, options)
    else:
        raise click.UsageError("give a RUN, or --prediction and --reference")


def _score_run(name: str) -> None:
    from evaluator.cli.show import print_table
    from evaluator.limits import ensure_limits
    from evaluator.runs.names import open_run
    from evaluator.scoring.rescore import score_run

    run = open_run(name)
    ensure_limits([run])
    score_run(run)
    print_table(run)


def _score_files(prediction: Path, reference: Path, options: dict[str, Any]) -> None:
    from evaluator.errors import VolumeError
    from evaluator.scoring.file_pairs import find_pairs
    from evaluator.scoring.files import score_pairs

    settings = _settings(options)
    pairs, unpaired = find_pairs(prediction, reference, options["image"])
    for path in unpaired:
        logger.warning(f"{path}: not scored, because it has no reference")
    output: Path | None = options["output"]
    done = {}
    if output:
        done = {name: entry["key"] for name, entry in _clean_output(output).items()}
    failed = 0
    results = score_pairs(pairs, settings, threads=options["threads"], done=done)
    for number, (result, key) in enumerate(results, 1):
        if "error" in result and len(pairs) == 1:
            raise VolumeError(result["error"])
        failed += "error" in result
        if output:
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result | {"key": key}, allow_nan=False) + "\n")
        if options["as_json"]:
            click.echo(json.dumps(result, allow_nan=False))
        else:
            _print(result)
        if len(pairs) > 1:
            logger.info(f"{number}/{len(pairs)} {result['name']}")
    if output:
        _clean_output(output)
    raise SystemExit(INVALID_VOLUME_EXIT if failed else 0)


def _settings(options: dict[str, Any]) -> Settings:
    from evaluator.manifests.organs import load_organs
    from evaluator.scoring.applicability import check_metrics, required_measurements
    from evaluator.scoring.file_pairs import read_label_names
    from evaluator.scoring.files import DEFAULT_METRICS, Settings

    names: tuple[str, ...] = DEFAULT_METRICS
    if options["metrics"]:
        names = tuple(map(str.strip, options["metrics"].split(",")))
    check_metrics(names)
    if "uptake" in required_measurements(names) and not options["image"]:
        raise click.UsageError(
            "metrics of uptake need --image, the PET image in SUV on the grid of the reference"
        )
    if options["prediction_labels"] and not options["labels"]:
        raise click.UsageError("--prediction-labels requires --labels with the same names")
    organs, common_tolerance = load_organs(options["tolerances"]), options["tolerance_mm"]
    labels, prediction_labels = (
        read_label_names(options[key]) if options[key] else None
        for key in ("labels", "prediction_labels")
    )
    return Settings(
        tolerance_mm=(lambda _: common_tolerance) if common_tolerance else organs.tolerance_mm,
        labels=labels,
        prediction_labels=prediction_labels,
        metrics=names,
        resample=options["resample"],
    )


def _clean_output(path: Path) -> dict[str, Any]:
    """Remove duplicates and incomplete lines (of a killed process) from an output file.

    Returns:
        the last object of each name.
    """
    objects: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue
            objects[result["name"]] = result
        temporary = path.with_name(f".writing-{path.name}")
        lines = [json.dumps(result) + "\n" for result in objects.values()]
        temporary.write_text("".join(lines), encoding="utf-8")
        temporary.replace(path)
    return objects


def _print(result: dict[str, Any]) -> None:
    if "error" in result:
        click.echo(f"{result['name']}: {result['error']}")
        return
    for target in result["targets"]:
        values = {key: value for key, value in target.items() if isinstance(value, float)}
        scores = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
        click.echo(f"{result['name']}  {target['name']}  {target['status']}  {scores}")
