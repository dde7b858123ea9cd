"""Options that several commands share, each defined once."""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from evaluator.cli.tables import choose_form

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PATH = click.Path(path_type=Path)
MOST_PER_GPU = 64


class FiniteRange(click.FloatRange):
    """A number in a range that is neither NaN nor infinite."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the value of an option; raises click.BadParameter."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman", "podman-socket", "apptainer", "local"]),
    default="auto",
    show_default=True,
    help="Container engine; auto takes the first that answers. local runs models without a "
    "container and provides no isolation.",
)
runtime_option = click.option(
    "--runtime",
    help="Program that starts the model's containers, such as runsc (gVisor), by its name in the "
    "configuration of docker or podman (default: the engine's).",
)
image_engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "docker", "podman", "podman-socket", "apptainer"]),
    default="auto",
    show_default=True,
    help="Container engine that keeps the image; auto takes the first that answers.",
)
gpus_option = click.option(
    "--gpus",
    default="all",
    show_default=True,
    help='GPUs to use: "all" (those of CUDA_VISIBLE_DEVICES if it is set), "none", indices such as '
    "0,1, or UUIDs such as GPU-5c89 or MIG-c0b2.",
)
per_gpu_option = click.option(
    "--per-gpu",
    metavar="N|auto",
    default="1",
    show_default=True,
    help="Sessions of the model that share each GPU; auto: as many as its memory holds by the "
    "model's card. Results stay the same; a request takes longer.",
)
data_root_option = click.option(
    "--data-root",
    type=PATH,
    help="Folder that the paths of the dataset are relative to.",
)
moved_data_option = click.option(
    "--data-root",
    type=PATH,
    help="Folder to which the images were moved since the run (default: where the run found them).",
)
weights_option = click.option(
    "--weights",
    default="published",
    show_default=True,
    metavar="published|random[:full]|DIR",
    help="Weights: published, random (for tests and timing, no meaningful results), or a folder "
    "that is mounted into the container.",
)
accept_licence_option = click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="ID",
    help="Accept a licence with restrictions, for files that must be downloaded (repeatable).",
)
flavour_option = click.option(
    "--flavour",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Flavour of the base image umd/torch; auto: cuda if this machine has a GPU.",
)
contract_option = click.option(
    "--contract",
    metavar="1|cvpr25|cvpr25-batch|grand-challenge",
    help="Container contract of the image (default: its label umd.contract).",
)
sockets_option = click.option(
    "--sockets",
    metavar="NAME|FILE",
    help="Socket map of a Grand Challenge algorithm: a TOML file, or one of manifests/sockets.",
)
card_option = click.option(
    "--card",
    type=PATH,
    help='TOML file with lines of a model card, such as inputs = "CT | PT".',
)
output_folder_option = click.option(
    "-o", "--output", type=PATH, required=True, help="New folder for the files."
)


unregistered_option = click.option(
    "--unregistered",
    is_flag=True,
    help="Simulate prompts on each image's own reference, for images that are not registered: "
    "the images of a case then do not get the same prompt.",
)
by_option = click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Also compare within each subgroup of this column of the dataset's table of subjects, "
    "such as scanner or sex (repeatable); all subgroups are one family of tests.",
)
split_option = click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Also within each subgroup of this column of the dataset's table of subjects, such as "
    "scanner or sex (repeatable).",
)
primary_option = click.option(
    "--primary",
    "primaries",
    multiple=True,
    metavar="MODEL[:TARGET]",
    help="Primary comparisons, declared before the scores are known: a family of tests of their "
    "own (repeatable).",
)


def json_option(unit: str) -> Decorator:
    """The flag ``--json``; its help says that a line is one JSON object for each ``unit``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=choose_form,
        help=f"Print one JSON object for each {unit}.",
    )


def parse_per_gpu(text: str) -> int | Literal["auto"]:
    """Parse the value of ``--per-gpu``. Raises click.UsageError."""
    if text == "auto":
        return "auto"
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_PER_GPU:
        return int(text)
    raise click.UsageError(f"--per-gpu {text}: write auto, or a number from 1 to {MOST_PER_GPU}")


def parse_gpus(text: str) -> tuple[int | str, ...] | None:
    """Parse the value of ``--gpus``.

    Returns:
        None for all GPUs, () for none, else indices and UUIDs.

    Raises:
        click.UsageError: the value is invalid.
    """
    if text in ("all", ""):
        return None
    if text == "none":
        return ()
    names: list[int | str] = []
    for part in text.split(","):
        name = part.strip()
        if name.isdigit():
            names.append(int(name))
        elif re.fullmatch(r"(GPU|MIG)-[0-9A-Za-z/-]+", name):
            names.append(name)
        else:
            raise click.UsageError(
                f'--gpus {text}: expected "all", "none", indices such as 0,1, or UUIDs such as '
                "GPU-5c89 or MIG-c0b2"
            )
    return tuple(names)
