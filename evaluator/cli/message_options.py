"""The options -v, -q, --log-file and --debug, which stand before or after a command's name.

``umd --help`` uses this module, so it imports nothing large.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

_SETTINGS = "evaluator.cli.message_options"


def add_message_options(command: click.Command) -> click.Command:
    """Let a command, and those of a group, take -v, -q, --log-file and --debug itself, too."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            add_message_options(subcommand)
    present = {name for parameter in command.params for name in parameter.opts}
    command.params += [option for option in message_options() if not present & {*option.opts}]
    return command


def message_options() -> list[click.Option]:
    """The options about messages; each call makes new ones."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_set_up,
            help="Show debug messages.",
        ),
        click.Option(
            ["-q", "--quiet"],
            count=True,
            expose_value=False,
            callback=_set_up,
            help="Show only warnings; -qq only errors.",
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_set_up,
            help="Write all messages to this file as well.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_set_up,
            help="Show the traceback of an error.",
        ),
    ]


def _set_up(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Apply an option; counts before and after the command's name are added."""
    settings = context.meta.setdefault(_SETTINGS, {})
    if not value:
        return
    name = str(parameter.name)
    if name == "debug":
        os.environ["UMD_DEBUG"] = "1"
        return
    settings[name] = value + settings.get(name, 0) if isinstance(value, int) else value
    apply_settings(context)


def apply_settings(context: click.Context) -> None:
    """Send messages where the options say; without any, to standard error."""
    from evaluator.cli.messages import configure_logging

    settings = context.meta.get(_SETTINGS, {})
    verbosity = settings.get("verbose", 0) - settings.get("quiet", 0)
    configure_logging(verbosity, settings.get("log_file"))
