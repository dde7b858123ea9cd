"""``umd models export``: a model of the zoo as an image for another platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.options import PATH, accept_licence_option, sockets_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="Example: umd models export region-growing --for grand-challenge --sockets ct-click "
    "-o region-growing.tar.gz"
)
@click.argument("name")
@click.option(
    "--for",
    "platform",
    type=click.Choice(["grand-challenge"]),
    default="grand-challenge",
    show_default=True,
    help="The platform.",
)
@sockets_option
@click.option("-o", "--output", type=PATH, help="New file, .tar or .tar.gz, to upload.")
@accept_licence_option
def export(
    name: str,
    platform: str,  # noqa: ARG001 - there is one
    sockets: str | None,
    output: Path | None,
    accepted: tuple[str, ...],
) -> None:
    """Make an image of model NAME that Grand Challenge runs: a server on port 4743.

    The socket map says which input is which image or prompt, and which output is which target.
    The image can be registered here again, to see that it answers as the model does.
    """
    from evaluator.cli.progress import Downloads
    from evaluator.errors import UserError
    from evaluator.zoo import ImageBuildConfig, find_model
    from evaluator.zoo.fetching import Fetch
    from evaluator.zoo.outward import export_image

    if sockets is None:
        raise UserError("--sockets is missing: name a TOML file, or one of manifests/sockets")
    with Downloads() as downloads:
        config = ImageBuildConfig(
            fetch=Fetch(accepted=frozenset(accepted), progress=downloads.step)
        )
        image = export_image(find_model(name), sockets, output, config)
    click.echo(f"image   {image.reference} {image.digest}")
    if image.path:
        click.echo(f"file    {image.path}")
    click.echo(
        f"try it: umd models add {name}-invoke --image {image.path or image.reference} && "
        f"umd run -m {name}-invoke"
    )
