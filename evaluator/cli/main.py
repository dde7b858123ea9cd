"""``umd``, the main command. Subcommands are imported on use, so ``umd --help`` is fast."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from typing import NoReturn, TextIO

import click

from evaluator.cli.message_options import add_message_options, apply_settings, message_options
from evaluator.errors import UnknownNameError, UserError
from evaluator.plain_text import clean_text, readable_name, visible

#: command -> (module that holds a click command of that name, the line that ``umd --help`` shows)
COMMANDS = {
    "run": ("evaluator.cli.run", "Run a model over a dataset and score it."),
    "gather": ("evaluator.cli.gather", "Write the tables of a run that was done in shards."),
    "import-predictions": (
        "evaluator.cli.import_predictions",
        "Score predictions that were made elsewhere, as a run.",
    ),
    "score": ("evaluator.cli.score", "Score a run again, or any masks against references."),
    "show": ("evaluator.cli.show", "Show the score table of a run."),
    "runs": ("evaluator.cli.runs", "List runs, and delete some."),
    "status": ("evaluator.cli.status", "Show how far runs are, on all machines and in Slurm."),
    "watch": ("evaluator.cli.watch", "Show how far runs are until they end."),
    "stop": ("evaluator.cli.stop", "Stop runs; what is done is kept."),
    "log": ("evaluator.cli.log", "Print what the model of a run printed."),
    "compare": (
        "evaluator.cli.compare",
        "Compare modalities and models, paired within the subject.",
    ),
    "rank": ("evaluator.cli.rank", "Rank the models of several runs."),
    "agree": (
        "evaluator.cli.agree",
        "Compare the masks of several models with each other, without a reference.",
    ),
    "suite": ("evaluator.cli.suite", "Run many models on many datasets, with a control."),
    "export": ("evaluator.cli.export", "Export a run as tables or as BIDS derivatives."),
    "report": (
        "evaluator.cli.report",
        "Write a static site that compares runs, with figures, cases and methods.",
    ),
    "models": ("evaluator.cli.models", "List, build and check the models of the zoo."),
    "data": ("evaluator.cli.data", "List, verify and generate datasets."),
    "organs": ("evaluator.cli.organs", "List the names of targets, with tolerances and sources."),
    "challenge": ("evaluator.cli.challenge", "Inspect, run and rank the images of teams."),
    "serve": ("evaluator.cli.serve", "Serve the web portal of a challenge."),
    "doctor": ("evaluator.cli.doctor", "Check what this machine has and what is missing."),
}


class LazyGroup(click.Group):
    """A click group whose commands are modules imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the commands, in the usual order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """Import the module of a command.

        Raises:
            UnknownNameError: there is no such command; the message suggests similar names.
        """
        if cmd_name not in COMMANDS:
            raise UnknownNameError("command", cmd_name, COMMANDS)
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return add_message_options(command)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: umd run -m region-growing -d phantom -p paper",
)
@click.version_option(package_name="umd-evaluator", prog_name="umd")
@click.pass_context
def umd(context: click.Context) -> None:
    """Evaluate 3D segmentation models on PET/CT and PET/MRI, paired within the subject."""
    apply_settings(context)


umd.params += message_options()


def main() -> NoReturn:
    """Run the command; a UserError becomes its message and exit code, never a traceback."""
    for number in INTERRUPTIONS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and shells ask for
            signal.signal(number, _interrupt)
    stdout = sys.stdout
    try:
        umd(standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:
        _end_if_pipe_closed(error, stdout)
        raise
    except UserError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        for number in INTERRUPTIONS:  # Python restores all other handlers while it ends
            signal.signal(number, signal.SIG_IGN)
        _fail("interrupted; finished work is kept, and the same command resumes", 130)
    except BrokenPipeError:
        _end_by_closed_pipe()
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            what = error.filename or "the system refused an operation"
            _fail(f"{error.strerror}: {what}; free or repair it, then run again", 8)
        if isinstance(error, UnicodeEncodeError) and _is_surrogate(error):
            name = visible(readable_name(error.object.strip()))[:200]
            _fail(f"{name}: a name of bytes that are no UTF-8; rename the file or folder", 2)
        _fail(
            f"this is a bug in umd ({type(error).__name__}: {error}); "
            "run again with UMD_DEBUG=1 and report it",
            70,
        )
    sys.exit(0)


def _is_surrogate(error: UnicodeEncodeError) -> bool:
    """Whether a text with a byte that is no UTF-8, as in a file's name, was to be encoded."""
    return "\udc80" <= error.object[error.start] <= "\udcff"


INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: interruptions after the first are ignored until there are so many
PATIENCE = 3
_interruptions: list[int] = []


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    """End on SIGTERM, SIGHUP and SIGQUIT as on Ctrl-C, so containers are removed.

    A second Ctrl-C does not stop the removal; the fourth one does.
    """
    _interruptions.append(number)
    if len(_interruptions) == 1 or len(_interruptions) > PATIENCE:
        raise KeyboardInterrupt
    with contextlib.suppress(OSError):
        os.write(2, b"umd: ending; containers are being removed\n")


def _end_if_pipe_closed(error: SystemExit, stdout: TextIO) -> None:
    """Write what waits for standard output; click and rich turn a closed pipe into an exit.

    rich raises SystemExit in its handler; click replaces ``sys.stdout``, which was ``stdout``.
    """
    if isinstance(error.__context__, BrokenPipeError) or sys.stdout is not stdout:
        _end_by_closed_pipe()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _end_by_closed_pipe()


def _end_by_closed_pipe() -> NoReturn:
    """End as other programs do when nobody reads their output: by SIGPIPE."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)


def _fail(message: str, code: int) -> NoReturn:
    if os.environ.get("UMD_DEBUG"):
        traceback.print_exc()
    click.echo(f"umd: {clean_text(message, None)}", err=True)
    sys.exit(code)
