"""``umd models``: the models of the zoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.golden import golden
from evaluator.cli.model_images import add, load, save
from evaluator.cli.models_export import export
from evaluator.cli.options import (
    PATH,
    accept_licence_option,
    engine_option,
    flavour_option,
    image_engine_option,
    json_option,
    weights_option,
)
from evaluator.cli.preflight import preflight
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_table, table_options

if TYPE_CHECKING:
    from evaluator.zoo import ZooModel

_MODEL_COLUMNS = (
    Column(name="name", text=True),
    Column(name="image", text=True),
    Column(name="inputs", text=True),
    Column(name="prompts", text=True, wraps=True),
    Column(name="title", text=True, wraps=True),
)


@click.group(epilog="Example: umd models list")
def models() -> None:
    """List, build and check the models of the zoo."""


@models.command("list", epilog="Example: umd models list --json")
@table_options
@json_option("model")
def list_(as_json: bool) -> None:
    """List every model that has a Dockerfile, and whether its image is built."""
    from evaluator.errors import EngineUnavailableError
    from evaluator.zoo import broken_models, is_built, zoo
    from evaluator.zoo.engine_images import open_image_store

    try:
        store = open_image_store()
    except EngineUnavailableError:
        store = None
    rows = []
    for model in zoo():
        built = is_built(model, store) if store else None
        if as_json:
            click.echo(json.dumps(_describe_model(model, built)))
        else:
            rows.append(_model_row(model, built))
    if not as_json:
        print_table(Table(columns=_MODEL_COLUMNS, rows=rows))
    for name, reason in broken_models().items():
        click.echo(f"{name:20} {reason}", err=True)


def _describe_model(model: ZooModel, built: bool | None) -> dict[str, Any]:
    """A model as a JSON object; ``built`` is None if no engine answers."""
    card = model.card
    return {
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


def _model_row(model: ZooModel, built: bool | None) -> tuple[str, ...]:
    card = model.card
    state = {True: "built", False: "not built", None: "no engine"}[built]
    inputs = " | ".join(map("+".join, card.inputs))
    prompts = ", ".join(card.prompts) or "automatic"
    return (model.name, state, inputs, prompts, card.title)


@models.command(epilog="Example: umd models build region-growing")
@click.argument("names", nargs=-1, required=True)
@image_engine_option
@flavour_option
@accept_licence_option
@click.option(
    "--bundle",
    type=PATH,
    help="Folder made by umd models fetch; the build then needs no network.",
)
@weights_option
def build(
    names: tuple[str, ...],
    engine: str,
    flavour: Any,
    accepted: tuple[str, ...],
    bundle: Path | None,
    weights: str,
) -> None:
    """Build the images of models NAMES, and their base images.

    With --weights DIR, the image contains no weights; umd run --weights DIR mounts them.
    """
    from evaluator.cli.progress import Downloads
    from evaluator.zoo import ImageBuildConfig, find_model, provide_image
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.fetching import Fetch
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.weights import choose_weights

    store = open_image_store(engine)
    for model in [find_model(name) for name in names]:
        with Downloads() as downloads:
            order = ImageBuildConfig(
                weights=choose_weights(weights, model.name, read_sources(model.name)),
                flavour=flavour,
                bundle=bundle,
                fetch=Fetch(accepted=frozenset(accepted), progress=downloads.step),
            )
            image = provide_image(model, order, store)
        click.echo(f"{image.reference} {image.digest}")


@models.command(epilog="Example: umd models fetch sam-med3d --into bundle")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--into",
    type=PATH,
    required=True,
    help="Folder of the bundle, which can contain several models.",
)
@flavour_option
@accept_licence_option
@click.option(
    "--machine",
    default="",
    metavar="x86_64|aarch64",
    help="Processor of the machine that builds (default: of this machine).",
)
@click.option(
    "--base/--no-base",
    default=True,
    show_default=True,
    help="Save the base image too (needs a container engine).",
)
@click.option("--list", "listing", is_flag=True, help="Fetch nothing; list all files and hashes.")
def fetch(
    names: tuple[str, ...],
    into: Path,
    flavour: Any,
    accepted: tuple[str, ...],
    machine: str,
    base: bool,
    listing: bool,
) -> None:
    """Fetch all files for the images of models NAMES, to build them without a network.

    Licences are shown; licences with restrictions must be accepted. An interrupted fetch resumes.
    """
    from evaluator.cli.bundle_list import print_bundle
    from evaluator.cli.progress import Downloads
    from evaluator.errors import UserError
    from evaluator.zoo import find_model
    from evaluator.zoo.base_images import choose_flavour
    from evaluator.zoo.bundles import Bundle
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.fetching import Fetch
    from evaluator.zoo.fetching import fetch as fetch_parts
    from evaluator.zoo.saved_images import save_base
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.wheels import ImagePlatform

    for name in [find_model(name).name for name in names]:
        sources = read_sources(name)
        if sources is None:
            raise UserError(
                f"model {name} has no models/{name}/sources.toml, which lists the files to fetch"
            )
        image = ImagePlatform(
            flavour=choose_flavour(flavour) if sources.base == "umd/torch" else "cpu",
            machine=machine,
        )
        bundle = Bundle(model=name, root=into, sources=sources, image=image)
        if listing:
            print_bundle(bundle)
            continue
        with Downloads() as downloads:
            how = Fetch(accepted=frozenset(accepted), progress=downloads.step)
            fetch_parts(bundle, how)
            if base:
                save_base(into, sources.base.removeprefix("umd/"), image, open_image_store())
        click.echo(f"{into / name}")


@models.command(epilog="Example: umd models check region-growing")
@click.argument("name")
@engine_option
@weights_option
@click.option(
    "--huge/--no-huge",
    default=True,
    show_default=True,
    help="Also test a volume of 512 x 512 x 400 voxels.",
)
@click.option(
    "--record",
    is_flag=True,
    help="Write the results to docs/checks/NAME.json, for the table in docs/models.md.",
)
@json_option("check")
def check(name: str, engine: str, weights: str, huge: bool, record: bool, as_json: bool) -> None:
    """Run the conformance tests for NAME in its container. Exit code 1 if a test fails.

    An image of another contract is described, and asked step by step; the step that fails says why.
    """
    from dataclasses import asdict

    from evaluator.errors import UserError
    from evaluator.zoo import find_model
    from evaluator.zoo.conformance.checks import check_model
    from evaluator.zoo.conformance.readme_table import write_record

    model = find_model(name)
    if record and (model.image or model.folder):
        raise UserError(f"model {name} is not of the checkout; only those are recorded")
    prepared, results = check_model(name, engine, weights=weights, large=huge)
    done = []
    for result in results:
        done.append(result)
        if as_json:
            click.echo(json.dumps(asdict(result)))
        else:
            measured = "".join(
                f", {name.replace('_', ' ')} {value:g}" for name, value in result.measured.items()
            )
            state = "ok  " if result.ok else "FAIL"
            click.echo(f"{state} {result.check}: {result.detail}{measured}")
    if record:
        path = write_record(name, prepared, done)
        click.echo(f"recorded in {path}; umd models badges updates docs/models.md", err=True)
    raise SystemExit(0 if all(result.ok for result in done) else 1)


@models.command(epilog="Example: umd models badges")
def badges() -> None:
    """Write the table of checked models in docs/models.md from docs/checks."""
    from evaluator.zoo.conformance.readme_table import update_models_page

    changed = update_models_page()
    click.echo("docs/models.md is updated" if changed else "docs/models.md is up to date")


models.add_command(preflight)
models.add_command(golden)
models.add_command(add)
models.add_command(save)
models.add_command(load)
models.add_command(export)
