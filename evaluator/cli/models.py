"""``umd models``: the zoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

FLAVOUR = click.option(
    "--flavour",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Of umd/torch.",
)
ACCEPT = click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="ID",
    help="A licence that does not allow every use; may be repeated.",
)


@click.group(epilog="Example: umd models list")
def models() -> None:
    """List, build and check the models of the zoo."""


@models.command("list", epilog="Example: umd models list --json")
@click.option("--json", "as_json", is_flag=True, help="One object for each model.")
def list_(as_json: bool) -> None:
    """List every model that has a Dockerfile, built or not."""
    from evaluator.errors import EngineUnavailableError
    from evaluator.zoo import broken_models, is_built, zoo

    for model in zoo():
        card = model.card
        try:
            built: bool | None = is_built(model)
        except EngineUnavailableError:
            built = None
        inputs = " | ".join("+".join(names) for names in card.inputs)
        if as_json:
            body = {
                "name": model.name,
                "title": card.title,
                "inputs": card.inputs,
                "prompts": card.prompts,
                "targets": card.targets or "*",
                "gpu": card.gpu,
                "session": card.session,
                "rounds": "many" if card.many_rounds else "one",
                "built": built,
                "labels": dict(card.labels),
            }
            click.echo(json.dumps(body))
        else:
            told = {True: "built", False: "not built", None: "no engine"}[built]
            click.echo(
                f"{model.name:20} {told:10} {inputs:14} {','.join(card.prompts) or 'automatic':16} {card.title}"
            )
    for name, why in broken_models().items():
        click.echo(f"{name:20} {why}", err=True)


@models.command(epilog="Example: umd models build region-growing")
@click.argument("names", nargs=-1, required=True)
@FLAVOUR
@ACCEPT
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Folder that umd models fetch made: no network is needed.",
)
@click.option(
    "--weights",
    default="published",
    show_default=True,
    metavar="published|random[:full]|DIR",
    help="Baked in; random numbers (no result); or none, for a folder that umd run --weights mounts.",
)
def build(
    names: tuple[str, ...],
    flavour: Any,
    accepted: tuple[str, ...],
    bundle: Path | None,
    weights: str,
) -> None:
    """Build the images of models NAMES (and the base images under them)."""
    from evaluator.cli.progress import Downloads
    from evaluator.zoo import ImageBuildConfig, ensure_image, find_model
    from evaluator.zoo.bundles import Fetch
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.weights import choose_weights

    for model in [find_model(name) for name in names]:
        with Downloads() as downloads:
            order = ImageBuildConfig(
                weights=choose_weights(weights, model.name, read_sources(model.name)),
                flavour=flavour,
                bundle=bundle,
                fetch=Fetch(accepted=frozenset(accepted), progress=downloads.step),
            )
            image = ensure_image(model, order)
        click.echo(f"{image.reference} {image.digest}")


@models.command(epilog="Example: umd models fetch sam-med3d --into bundle")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the bundle; may hold several models.",
)
@FLAVOUR
@ACCEPT
@click.option(
    "--machine",
    default="",
    metavar="x86_64|aarch64",
    help="Processor of the machine that builds (default: as here).",
)
@click.option(
    "--base/--no-base",
    default=True,
    show_default=True,
    help="Save the base image too, which needs an engine.",
)
def fetch(
    names: tuple[str, ...],
    into: Path,
    flavour: Any,
    accepted: tuple[str, ...],
    machine: str,
    base: bool,
) -> None:
    """Fetch all that the images of models NAMES are made of, for a machine without a network.

    Licences are shown; one that does not clearly allow every use has to be accepted. What was stopped goes on.
    """
    from evaluator.cli.progress import Downloads
    from evaluator.errors import UserError
    from evaluator.zoo import find_model
    from evaluator.zoo.base_images import choose_flavour
    from evaluator.zoo.bundles import Bundle, Fetch
    from evaluator.zoo.bundles import fetch as fetch_parts
    from evaluator.zoo.docker_client import BuildClient
    from evaluator.zoo.saved_images import save_base
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.wheels import ImagePlatform

    for name in [find_model(name).name for name in names]:
        sources = read_sources(name)
        if sources is None:
            raise UserError(
                f"model {name} has no models/{name}/sources.toml, which says what it is made of"
            )
        image = ImagePlatform(
            flavour=choose_flavour(flavour) if sources.base == "umd/torch" else "cpu",
            machine=machine,
        )
        with Downloads() as downloads:
            how = Fetch(accepted=frozenset(accepted), progress=downloads.step)
            fetch_parts(Bundle(model=name, root=into, sources=sources, image=image), how)
            if base:
                save_base(into, sources.base.removeprefix("umd/"), image, BuildClient())
        click.echo(f"{into / name}")


@models.command(epilog="Example: umd models check region-growing")
@click.argument("name")
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman", "local"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--weights",
    default="published",
    show_default=True,
    metavar="published|random[:full]|DIR",
    help="As for umd run.",
)
@click.option(
    "--huge/--no-huge",
    default=True,
    show_default=True,
    help="Ask about a volume of 512 x 512 x 400 too.",
)
@click.option(
    "--record",
    is_flag=True,
    help="Keep the results in docs/checks/NAME.json, for the table in docs/models.md.",
)
@click.option("--json", "as_json", is_flag=True, help="One object for each check.")
def check(name: str, engine: str, weights: str, huge: bool, record: bool, as_json: bool) -> None:
    """Ask model NAME questions in its container and see whether it keeps the contract. Exit code 1 if it does not."""
    from dataclasses import asdict

    from evaluator.zoo.conformance.checks import check_model
    from evaluator.zoo.conformance.readme_table import write_record

    ready, results = check_model(name, engine, weights=weights, large=huge)
    done = []
    for result in results:
        done.append(result)
        if as_json:
            click.echo(json.dumps(asdict(result)))
        else:
            told = "".join(
                f", {what.replace('_', ' ')} {value:g}" for what, value in result.measured.items()
            )
            click.echo(f"{'ok  ' if result.ok else 'FAIL'} {result.check}: {result.detail}{told}")
    if record:
        click.echo(
            f"recorded in {write_record(name, ready, done)}; umd models badges writes it into docs/models.md",
            err=True,
        )
    raise SystemExit(0 if all(result.ok for result in done) else 1)


@models.command(epilog="Example: umd models badges")
def badges() -> None:
    """Write the table of checked models in docs/models.md from docs/checks."""
    from evaluator.zoo.conformance.readme_table import update_models_page

    changed = update_models_page()
    click.echo("docs/models.md is updated" if changed else "docs/models.md is up to date")
