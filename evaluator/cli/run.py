"""``umd run``: a model over a dataset."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.options import (
    FiniteRange,
    accept_licence_option,
    card_option,
    contract_option,
    data_root_option,
    engine_option,
    gpus_option,
    parse_gpus,
    parse_per_gpu,
    per_gpu_option,
    runtime_option,
    sockets_option,
    unregistered_option,
    weights_option,
)
from evaluator.cli.progress import Progress
from evaluator.cli.show import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.evaluation.run_config import RunConfig

logger = logging.getLogger(__name__)

#: a run ended without a mask
NO_MASK_EXIT = 11


@click.command(epilog="Example: umd run -m region-growing -d phantom -p paper")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    help="Model of the zoo (repeatable).",
)
@click.option(
    "--image",
    help="Image to run instead of a model of the zoo: a reference, or a file of docker save. It is "
    "registered as by umd models add.",
)
@contract_option
@card_option
@sockets_option
@click.option(
    "-d",
    "--data",
    "dataset",
    default="phantom",
    show_default=True,
    help="Name of a dataset, or path of its manifest.",
)
@click.option(
    "-p",
    "--protocol",
    default="paper",
    show_default=True,
    help="Name of a protocol, or path of its file.",
)
@engine_option
@runtime_option
@gpus_option
@per_gpu_option
@click.option(
    "--name",
    help="Name of the run (default: derived from model, dataset, protocol and settings, so the "
    "same command resumes the same run).",
)
@click.option(
    "--prompts",
    metavar="RUN",
    help="Replay the recorded prompts (and shared clicks) of this run.",
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    help="Only these cases or subjects (shell patterns; repeatable).",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Only the first N subjects, with all of their scans; every table says so. Without it, "
    "the same command continues the run.",
)
@click.option(
    "--shuffle",
    type=int,
    metavar="SEED",
    help="Ask the model in a random order of the cases, which the seed decides.",
)
@data_root_option
@click.option(
    "--timeout",
    type=FiniteRange(min=0.1),
    help="Maximum seconds per request (default: from the model's card).",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Scans to read and score in parallel to the model (default: by number of cores).",
)
@click.option(
    "--recheck",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Scans to predict again at the end to check that results do not depend on case order "
    "(0: skip).",
)
@click.option(
    "--rehash",
    is_flag=True,
    help="Hash all images, references and masks anew. Without it, a file is trusted whose size, "
    "times and inode are those of an earlier call.",
)
@click.option(
    "--batch", is_flag=True, help="Send requests in batches even if the model supports sessions."
)
@weights_option
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of an option in the model's card (repeatable).",
)
@accept_licence_option
@click.option(
    "--shard",
    metavar="I/N",
    help="Do part I of N of the cases; several processes may each do one at the same time.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Run in spite of errors in the data; every table of the run tells of it.",
)
@unregistered_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
def run(
    models: tuple[str, ...],
    image: str | None,
    contract: str | None,
    card: Path | None,
    sockets: str | None,
    gpus: str,
    per_gpu: str,
    accepted: tuple[str, ...],
    shard: str | None,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Run a model over a dataset, score it, and show the table.

    Finished scans are kept: if interrupted, the same command resumes the run. Exit code 11 if a
    run has no mask at all: every prediction failed, or the model supports none of them.
    """
    from evaluator.evaluation.run_config import RunConfig, parse_shard

    if image is None and not models:
        raise click.UsageError("name a model with -m, or an image with --image")
    if image is None and (contract or card or sockets):
        raise click.UsageError("--contract, --card and --sockets describe an --image")
    if image is not None:
        models = (*models, _register(image, settings["engine"], contract, card, sockets))
    if settings["name"] and len(models) > 1:
        raise click.UsageError("--name requires a single model; omit it for several")
    configs = [
        RunConfig(
            model=model,
            gpus=parse_gpus(gpus),
            per_gpu=parse_per_gpu(per_gpu),
            accepted=frozenset(accepted),
            shard=parse_shard(shard) if shard else None,
            **settings,  # named as the fields of RunConfig
        )
        for model in models
    ]
    for config in configs:
        _check(config)  # errors of the last model are reported before the first one runs
    ended = {config.model: _run_or_tell(config, configs, dry_run) for config in configs}
    _exit(ended)


def _exit(ended: dict[str, str]) -> None:
    """End with the exit status of the worst run."""
    failed = [model for model, how in ended.items() if how == "not run"]
    empty = [model for model, how in ended.items() if how == "empty"]
    if empty:
        click.echo(f"no prediction has a mask: {', '.join(empty)}", err=True)
    if failed:
        click.echo(f"not run: {', '.join(failed)}", err=True)
        raise SystemExit(1)
    if empty:
        raise SystemExit(NO_MASK_EXIT)


def _run_or_tell(config: RunConfig, configs: Sequence[RunConfig], dry_run: bool) -> str:
    """Run one model: "ok", "empty" without any mask, or "not run", which stops no other model."""
    from evaluator.errors import BuildError, ManifestError, ModelFilesError, RunConflictError

    try:
        return "ok" if _run(config, dry_run=dry_run) else "empty"
    except (BuildError, ManifestError, ModelFilesError, RunConflictError) as error:
        if len(configs) == 1:
            raise
        logger.warning("model %s could not be run: %s", config.model, error)
        return "not run"


def _register(
    image: str, engine: str, contract: str | None, card: Path | None, sockets: str | None
) -> str:
    """Register an image as a model under a name that follows from its reference."""
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.registered_images import add_image, derive_name

    name, store = derive_name(image), open_image_store(engine)
    path, _ = add_image(name, image, store, contract=contract, card=card, sockets=sockets)
    click.echo(f"image {image} is model {name} ({path})", err=True)
    return name


def _check(config: RunConfig) -> None:
    """Raise UserError for options or weights that the model does not have."""
    from evaluator.evaluation.plan import choose_options
    from evaluator.zoo import find_model
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.weights import choose_weights

    choose_options(find_model(config.model).card, config.options)
    choose_weights(config.weights, config.model, read_sources(config.model))


def _run(config: RunConfig, *, dry_run: bool) -> bool:
    """Run or describe one model; False if the run ended without any mask."""
    from evaluator.analysis.outcomes import has_masks
    from evaluator.cli.resolved_run import print_resolved, warn_unsupported
    from evaluator.evaluation.resolve import resolve
    from evaluator.evaluation.run import execute

    resolved = resolve(config)
    if dry_run:
        print_resolved(resolved)
        return True
    warn_unsupported(resolved)
    if config.shard and not resolved.tasks:
        subjects = len({case.subject for case in resolved.cases})
        logger.warning(
            "shard %s has no case, as the run has %d subjects and a subject is in one shard; "
            "use at most --shard I/%d",
            config.shard,
            subjects,
            subjects,
        )
    batch = config.batch or not resolved.plan.card.session
    with Progress(config.model, batch=batch) as progress:
        store = execute(resolved, progress=progress.step)
    click.echo(f"run: {store.path}")
    if store.missing_scans():
        return True
    print_table(store)
    if not has_masks(store):
        return False
    click.echo(f"next: umd compare {store.name}, or umd report {store.name} -o report")
    return True
