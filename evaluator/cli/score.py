"""``umd score``: score a run again, or any masks against references."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.options import PATH, FiniteRange, json_option, moved_data_option
from evaluator.cli.tables import chosen_form, print_table, table_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.manifests.label_tables import LabelTable
    from evaluator.scoring.file_pairs import Pair
    from evaluator.scoring.files import Settings

logger = logging.getLogger(__name__)

INVALID_VOLUME_EXIT = 4
INCOMPLETE_EXIT = 5
"""Nothing could be scored, or --strict and something a user should look at."""


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
    type=FiniteRange(min=0, min_open=True),
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
@click.option("--force", is_flag=True, help="Replace a file of -o that is something else.")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit status 5 if a prediction is missing, a name matches nothing, or a warning is shown.",
)
@table_options
@moved_data_option
@json_option("pair, or for each target and modality of a run")
def score(
    name: str | None,
    prediction: Path | None,
    reference: Path | None,
    data_root: Path | None,
    **options: Any,
) -> None:
    """Score the masks of RUN again, without containers, or --prediction against --reference."""
    if name and not (prediction or reference):
        _refuse_options(name)
        _score_run(name, data_root, as_json=options["as_json"])
    elif prediction and reference and not name:
        _score_files(prediction, reference, options)
    elif name and prediction and reference:
        raise click.UsageError(
            f"{name}: a RUN is scored without --prediction and --reference. Tables are printed; "
            "to keep one as a file, write umd score ... --csv > FILE"
        )
    else:
        raise click.UsageError("give a RUN, or --prediction and --reference")


def _refuse_options(name: str) -> None:
    """Refuse options that have no effect on a run: its protocol defines how it is scored."""
    from click.core import ParameterSource

    context = click.get_current_context()
    given = [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name not in ("name", "data_root", "as_json", "wide", "csv", "markdown")
        and context.get_parameter_source(parameter.name or "") == ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: only with --prediction and --reference. The protocol of a run "
            f"defines its metrics and tolerances; umd show {name} --json prints its scores"
        )


def _score_run(name: str, data_root: Path | None, *, as_json: bool) -> None:
    from evaluator.analysis.summary import summarise
    from evaluator.cli.show import print_table as print_run
    from evaluator.limits import ensure_limits
    from evaluator.runs.names import open_run
    from evaluator.scoring.rescore import score_run

    run = replace(open_run(name), moved_to=data_root)
    ensure_limits([run])
    score_run(run)
    if not as_json:
        print_run(run)
        return
    for entry in summarise(run):
        click.echo(json.dumps(entry, allow_nan=False))


def _score_files(prediction: Path, reference: Path, options: dict[str, Any]) -> None:
    from evaluator.errors import VolumeError
    from evaluator.scoring.file_pairs import find_pairs, name_notes
    from evaluator.scoring.files import score_pairs
    from evaluator.scoring.output_file import (
        append_result,
        inputs_of,
        prepare_output,
        write_results,
    )
    from evaluator.scoring.score_summary import absent_targets

    pairs, unpaired = find_pairs(prediction, reference, options["image"])
    settings, notes = _settings(options, pairs)
    output: Path | None = options["output"]
    tables = [options[key] for key in ("labels", "prediction_labels", "tolerances")]
    done = prepare_output(output, [*inputs_of(pairs), *tables], force=options["force"])
    notes += name_notes(pairs, unpaired)
    for note in notes:
        logger.warning(note)
    results = dict(done)
    keys = {name: str(result["key"]) for name, result in done.items() if result.get("key")}
    scored = score_pairs(pairs, settings, threads=options["threads"], done=keys)
    for number, (result, key) in enumerate(scored, 1):
        if "error" in result and len(pairs) == 1:
            raise VolumeError(result["error"])
        results[result["name"]] = result
        if output:
            append_result(output, result | {"key": key})
            results[result["name"]] = result | {"key": key}
        _print(result, as_json=options["as_json"])
        if len(pairs) > 1:
            logger.info(f"{number}/{len(pairs)} {result['name']}")
    if output:
        write_results(output, results.values())
    of_pairs = [results[pair.name] for pair in pairs if pair.name in results]
    if not options["as_json"]:
        _print_tables(of_pairs, settings)
    for note in absent_targets(of_pairs, settings.labels or {}):
        logger.warning(note)
        notes.append(note)
    raise SystemExit(_exit_code(of_pairs, notes, strict=options["strict"]))


def _settings(options: dict[str, Any], pairs: Sequence[Pair]) -> tuple[Settings, list[str]]:
    """How pairs are scored, and what a user should know about it."""
    from evaluator.manifests.label_tables import read_label_table
    from evaluator.manifests.organs import load_organs
    from evaluator.scoring.applicability import check_metrics, required_measurements
    from evaluator.scoring.files import DEFAULT_METRICS, Settings
    from evaluator.scoring.pair_targets import named_by_file

    names: tuple[str, ...] = DEFAULT_METRICS
    if options["metrics"]:
        stated = (name.strip() for name in options["metrics"].split(","))
        names = tuple(dict.fromkeys(name for name in stated if name))
    if not names or options["metrics"] == "":
        raise click.UsageError("--metrics names no metric; docs/metrics.md lists them")
    check_metrics(names)
    if "uptake" in required_measurements(names) and not options["image"]:
        raise click.UsageError(
            "metrics of uptake need --image, the PET image in SUV on the grid of the reference"
        )
    if options["prediction_labels"] and not options["labels"]:
        raise click.UsageError("--prediction-labels requires --labels with the same names")
    organs, common_tolerance = load_organs(options["tolerances"]), options["tolerance_mm"]
    table, predicted = (
        read_label_table(options[key]) if options[key] else None
        for key in ("labels", "prediction_labels")
    )
    notes = _table_notes(table, predicted)
    if table and "nsd" in names and not common_tolerance:
        notes += [
            f"{target}: no organ of this name is known, so its NSD tolerance is the default "
            f"{organs.default_tolerance_mm:g} mm; --tolerance-mm or --tolerances set another"
            for target in table.targets
            if organs.kind(target) is None
        ]
    settings = Settings(
        tolerance_mm=(lambda _: common_tolerance) if common_tolerance else organs.tolerance_mm,
        labels=table.targets if table else None,
        prediction_labels=predicted.targets if predicted else None,
        ignored=table.ignored if table else (),
        named_by_file=table is not None or named_by_file(pairs),
        metrics=names,
        resample=options["resample"],
    )
    return settings, notes


def _table_notes(table: LabelTable | None, predicted: LabelTable | None) -> list[str]:
    notes = [*table.notes] if table else []
    if table and predicted:
        notes += [
            f"{target} is in --labels and not in --prediction-labels, so its prediction is empty"
            for target in table.targets.keys() - predicted.targets.keys()
        ]
    return notes


def _exit_code(results: Sequence[dict[str, Any]], notes: Sequence[str], *, strict: bool) -> int:
    statuses = [target["status"] for result in results for target in result.get("targets", ())]
    warned = any(result.get("warnings") for result in results)
    if any("error" in result for result in results):
        return INVALID_VOLUME_EXIT
    if statuses and set(statuses) == {"missing"}:
        return INCOMPLETE_EXIT
    return INCOMPLETE_EXIT if strict and (notes or warned or "missing" in statuses) else 0


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    """Print what is said of one pair while others are scored: warnings, and its JSON object."""
    for warning in result.get("warnings", ()):
        logger.warning(f"{result['name']}: {warning}")
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))


def _print_tables(results: Sequence[dict[str, Any]], settings: Settings) -> None:
    """Print all scores, and their means over several pairs."""
    from evaluator.cli.score_tables import mean_rows, score_rows

    as_csv = chosen_form() == "csv"
    print_table(score_rows(results, settings.metrics, complete=as_csv))
    if len(results) > 1 and not as_csv:
        click.echo("")
        print_table(mean_rows(results, settings.metrics))
