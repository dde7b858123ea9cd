"""``umd models fetch --list``: the files of a bundle, for a machine without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.zoo.bundle_files import bundle_files

if TYPE_CHECKING:
    from evaluator.zoo.bundles import Bundle


def print_bundle(bundle: Bundle) -> None:
    """Print every file with its place, size, licence, sha256 and address."""
    for file in bundle_files(bundle):
        size = "size not known" if file.bytes is None else f"{file.bytes / 1e6:.1f} MB"
        state = "there" if file.present else "missing"
        click.echo(f"{file.path}  ({state}, {size}, {file.license})")
        click.echo(f"    from    {file.address}")
        click.echo(f"    sha256  {file.sha256 or 'none is published'}")
    if bundle.lock is not None:
        click.echo(f"{bundle.wheels}  (Python packages, collected by pip)")
        click.echo(f"    by      {bundle.lock}")
    name = bundle.sources.base.removeprefix("umd/")
    image = bundle.root / "images" / f"{name}-{bundle.image.name}.tar"
    click.echo(f"{image}  (the base image {bundle.sources.base}, saved by a container engine)")
