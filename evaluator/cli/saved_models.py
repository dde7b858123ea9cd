"""``umd models save`` and ``load``: images for machines that cannot build them."""

from __future__ import annotations

from pathlib import Path

import click

from evaluator.cli.options import PATH, image_engine_option, weights_option


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
    from evaluator.zoo.image_store import open_image_store
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
def load(files: tuple[Path, ...], engine: str) -> None:
    """Read images from FILES that umd models save, docker save or podman save wrote."""
    from evaluator.errors import UserError
    from evaluator.zoo.image_store import open_image_store

    store = open_image_store(engine)
    for path in files:
        if not path.is_file():
            raise UserError(f"{path} is not a file")
        for digest in store.load(path):
            title = store.describe(digest).labels.get("umd.name", "an image without a model card")
            click.echo(f"{path}: {title} {digest}")
