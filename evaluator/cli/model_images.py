"""``umd models add``, ``save`` and ``load``: images that exist already."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import (
    PATH,
    card_option,
    contract_option,
    image_engine_option,
    sockets_option,
    weights_option,
)


@click.command(epilog="Example: umd models add team1 --image team1.tar.gz --contract cvpr25")
@click.argument("name")
@click.option(
    "--image",
    required=True,
    help="Reference of an image, or a file that docker save wrote.",
)
@image_engine_option
@contract_option
@card_option
@sockets_option
@click.option(
    "--weights-archive",
    "weights",
    type=PATH,
    help="Tar file of weights, which is unpacked and mounted at /opt/ml/model.",
)
@click.option("--replace", is_flag=True, help="Replace another image of this name.")
def add(
    name: str,
    image: str,
    engine: str,
    contract: str | None,
    card: Path | None,
    sockets: str | None,
    weights: Path | None,
    replace: bool,
) -> None:
    """Register a container image as model NAME, without a Dockerfile.

    The image is known by its id; a tag that moves changes nothing. The definition is a text file
    in the folder UMD_MODELS (default: ~/.config/umd/models).
    """
    from evaluator.zoo import find_model
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.registered_images import add_image

    path, described = add_image(
        name,
        image,
        open_image_store(engine),
        contract=contract,
        card=card,
        sockets=sockets,
        weights=weights,
        replace=replace,
    )
    model = find_model(name)
    inputs = " | ".join(map("+".join, model.card.inputs))
    click.echo(f"image       {described.digest}")
    click.echo(f"platform    {described.architecture}, user {described.user or 'root'}")
    click.echo(f"entrypoint  {' '.join(described.entrypoint) or '(none)'}")
    click.echo(f"command     {' '.join(described.command) or '(none)'}")
    click.echo(f"contract    {model.card.contract}")
    click.echo(f"inputs      {inputs}; prompts {', '.join(model.card.prompts) or 'none'}")
    click.echo(f"registered  {path}")
    click.echo(f"run it with: umd run -m {name}")


@click.command(epilog="Example: umd models save region-growing -o region-growing.tar")
@click.argument("name")
@click.option("-o", "--output", type=PATH, required=True, help="New file, as docker save writes.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman"]),
    default="auto",
    show_default=True,
    help="Container engine that builds the image.",
)
@weights_option
def save(name: str, output: Path, engine: str, weights: str) -> None:
    """Build model NAME and write its image to a file, for a machine that cannot build it.

    There, umd models load reads the file, for example for the engine apptainer of a cluster.
    """
    from evaluator.errors import UserError
    from evaluator.zoo import ImageBuildConfig, find_model, provide_image
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.image_transfer import name_of
    from evaluator.zoo.sources import read_sources
    from evaluator.zoo.weights import choose_weights

    if output.exists():
        raise UserError(f"{output} exists; choose a new file")
    model, store = find_model(name), open_image_store(engine)
    chosen = choose_weights(weights, model.name, read_sources(model.name))
    config = ImageBuildConfig(weights=chosen)
    provide_image(model, config, store)
    reference = name_of(model, config)
    store.save(reference, output)
    click.echo(f"{output}: {reference} {store.find(reference)}")


@click.command(epilog="Example: umd models load region-growing.tar --engine apptainer")
@click.argument("files", nargs=-1, required=True, type=PATH)
@image_engine_option
@click.option("--once", is_flag=True, help="Pass over a file that this machine has loaded.")
def load(files: tuple[Path, ...], engine: str, once: bool) -> None:
    """Read images from FILES that umd models save, docker save or podman save wrote."""
    from evaluator.errors import UserError
    from evaluator.zoo.engine_images import open_image_store
    from evaluator.zoo.loaded_archives import load_once

    store = open_image_store(engine)
    for path in files:
        if not path.is_file():
            raise UserError(f"{path} is not a file")
        digests = load_once(store, engine, path) if once else store.load(path)
        if once and not digests:
            click.echo(f"{path}: this machine has its images")
        for digest in digests:
            title = store.describe(digest).labels.get("umd.name", "an image without a model card")
            click.echo(f"{path}: {title} {digest}")
