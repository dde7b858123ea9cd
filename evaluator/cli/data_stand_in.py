"""The work of ``umd data phantom --like umd``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from evaluator.datasets.phantom.like_umd import (
    FULL_SIZE,
    PET_CT,
    PET_MR,
    StandIn,
    generate_stand_in,
)
from evaluator.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def make_stand_in(cases: int, size: tuple[int, int, int], seed: int, output: Path) -> None:
    """Generate the stand-in of UMD: complete, unless --cases or --size say otherwise."""
    context = click.get_current_context()
    if context.get_parameter_source("cases") == ParameterSource.DEFAULT:
        cases = PET_CT + PET_MR
    if context.get_parameter_source("size") == ParameterSource.DEFAULT:
        size = FULL_SIZE
    if output.exists():
        raise UserError(f"{output} exists already; choose a new folder with -o")
    plan = StandIn(subjects=cases, size=size, seed=seed)
    click.echo(f"{cases} synthetic subjects, about {plan.bytes / 1e9:.2g} GB", err=True)
    generate_stand_in(plan, output)
    click.echo("import them with:")
    click.echo(f"umd data import {output} --layout umd --name umd-stand-in")
