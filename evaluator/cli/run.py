"""``umd run``: a model over a dataset."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import parse_gpus
from evaluator.cli.progress import Progress
from evaluator.cli.show import print_table


@click.command(epilog="Example: umd run -m region-growing -d phantom -p paper")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    required=True,
    help="Model of the zoo; may be given several times.",
)
@click.option(
    "-d",
    "--data",
    default="phantom",
    show_default=True,
    help="Dataset's name, or its manifest's path.",
)
@click.option(
    "-p",
    "--protocol",
    default="paper",
    show_default=True,
    help="Protocol's name, or its file's path.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman", "local"]),
    default="auto",
    show_default=True,
    help="What runs the model; local isolates nothing.",
)
@click.option(
    "--gpus", default="all", show_default=True, help='"all", "none", or indices such as 0,1.'
)
@click.option(
    "--name",
    help="Name of the run; by default made of what goes into it, so that the same goes on.",
)
@click.option(
    "--prompts",
    metavar="RUN",
    help="Replay the prompts (and shared clicks) that this run recorded.",
)
@click.option(
    "--case", "cases", multiple=True, help="Only these cases or subjects (shell patterns)."
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Folder that the dataset's paths are relative to.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    help="Seconds a request may take (default: the model's card).",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Scans read and scored at once beside the model (default: by the cores).",
)
@click.option(
    "--recheck",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Scans asked again at the end, alone and in a batch: does the model keep state between cases. 0: none.",
)
@click.option("--batch", is_flag=True, help="Ask in batches even where the model can stay alive.")
@click.option(
    "--weights",
    default="published",
    show_default=True,
    metavar="published|random[:full]|DIR",
    help="Random numbers (no result, for tests and speed), or a folder mounted in the place of the image's own.",
)
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="A choice of the model's card."
)
@click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="ID",
    help="Of parts that have to be fetched.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Do part I of N of the cases; several processes may each do one at the same time.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
def run(
    models: tuple[str, ...],
    data: str,
    protocol: str,
    engine: str,
    gpus: str,
    name: str | None,
    prompts: str | None,
    cases: tuple[str, ...],
    data_root: Path | None,
    timeout: float | None,
    threads: int | None,
    recheck: int,
    batch: bool,
    weights: str,
    options: tuple[str, ...],
    accepted: tuple[str, ...],
    shard: str | None,
    dry_run: bool,
) -> None:
    """Run a model over a dataset, score it, and show the table.

    Finished scans are kept: if interrupted, the same command resumes the run.
    """
    from evaluator.cli.resolved_run import print_resolved
    from evaluator.evaluation.plan import choose_options
    from evaluator.evaluation.resolve import resolve
    from evaluator.evaluation.run import execute
    from evaluator.evaluation.run_config import RunConfig, parse_shard
    from evaluator.zoo import find_model
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.weights import choose_weights

    if name and len(models) > 1:
        raise click.UsageError("--name is for one model; leave it out for several")
    for model in models:
        # an error in the last model is reported before the first one runs
        choose_options(find_model(model).card, options)
        choose_weights(weights, model, read_sources(model))
    for model in models:
        config = RunConfig(
            model=model,
            dataset=data,
            protocol=protocol,
            engine=engine,
            gpus=parse_gpus(gpus),
            name=name,
            prompts=prompts,
            cases=cases,
            data_root=data_root,
            timeout=timeout,
            threads=threads,
            recheck=recheck,
            batch=batch,
            weights=weights,
            options=options,
            accepted=frozenset(accepted),
            shard=parse_shard(shard) if shard else None,
        )
        resolved = resolve(config)
        if dry_run:
            print_resolved(resolved)
            continue
        with Progress(model) as progress:
            store = execute(resolved, progress=progress.step)
        if (store.path / "scores.csv").is_file():
            print_table(store)
        click.echo(f"run: {store.path}")
