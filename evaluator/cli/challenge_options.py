"""What the commands of ``umd challenge`` share."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.challenges.opening import OpenChallenge

challenge_option = click.option(
    "-c",
    "--challenge",
    type=PATH,
    default=Path(),
    show_default="this folder",
    envvar="UMD_CHALLENGE",
    help="Folder of the challenge (also UMD_CHALLENGE).",
)


@contextmanager
def opened(path: Path) -> Iterator[OpenChallenge]:
    """A challenge, closed at the end."""
    from evaluator.challenges.opening import open_challenge

    challenge = open_challenge(path)
    try:
        yield challenge
    finally:
        challenge.close()
