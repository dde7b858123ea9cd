"""Options that several commands share, each defined once."""

from __future__ import annotations

import click


def parse_gpus(text: str) -> tuple[int, ...] | None:
    """What ``--gpus`` says: None for all, () for none, else indices."""
    if text in ("all", ""):
        return None
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(
            f'--gpus {text}: expected "all", "none", or indices such as 0,1'
        ) from None
