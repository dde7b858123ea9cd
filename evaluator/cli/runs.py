"""``umd runs``: list runs, and delete some."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, astuple, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_note, print_table, table_options
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore

_COLUMNS = (
    Column(name="name", text=True),
    Column(name="state", text=True),
    Column(name="started", text=True, level=1),
    Column(name="model", text=True, level=3),
    Column(name="dataset", text=True, level=3),
    Column(name="protocol", text=True, level=3),
    Column(name="remark", text=True, wraps=True, level=2),
)


@click.group(epilog="Example: umd runs delete 'ellipsoid.*' --yes", invoke_without_command=True)
@click.option("-m", "--model", default="*", help="Only runs of this model (a shell pattern).")
@click.option("-d", "--data", default="*", help="Only runs on this dataset (a shell pattern).")
@click.option(
    "-p", "--protocol", default="*", help="Only runs under this protocol (a shell pattern)."
)
@table_options
@json_option("run")
@click.pass_context
def runs(context: click.Context, model: str, data: str, protocol: str, as_json: bool) -> None:
    """List the runs, the newest last; umd runs delete deletes some.

    Wherever a command takes a RUN, the unique beginning of its name is enough; where it takes
    several, a shell pattern stands for all runs that match.
    """
    from evaluator import paths
    from evaluator.runs.names import all_runs

    if context.invoked_subcommand:
        return
    rows = []
    for store in all_runs():
        row = _describe(store)
        patterns = ((row.model, model), (row.dataset, data), (row.protocol, protocol))
        if all(fnmatchcase(name, pattern) for name, pattern in patterns):
            rows.append(row)
    rows.sort(key=lambda row: (row.started, row.name))
    if as_json:
        for row in rows:
            click.echo(json.dumps(asdict(row)))
        return
    if rows:
        print_table(Table(columns=_COLUMNS, rows=[astuple(row) for row in rows]))
    print_note(f"{counted(len(rows), 'run')} in {paths.runs()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One run, with a field for each column."""

    name: str
    state: str
    started: str = ""
    model: str = ""
    dataset: str = ""
    protocol: str = ""
    remark: str = ""


def _describe(store: RunStore) -> _Row:
    """One run as a row; a damaged one is listed, too."""
    from evaluator.errors import UserError
    from evaluator.runs.run_warnings import warnings_of

    try:
        info = store.info()
    except UserError as error:
        return _Row(name=store.name, state="damaged", remark=str(error))
    missing = store.missing_scans()
    remarks = [text for text in warnings_of(store) if not text.startswith("INCOMPLETE")]
    if info.random_weights:
        remarks.append("RANDOM WEIGHTS, NOT A RESULT.")
    if info.dataset.synthetic:
        remarks.append("SYNTHETIC DATA.")
    return _Row(
        name=store.name,
        state=f"{missing} of {info.scans} scans missing" if missing else "complete",
        started=info.started[:16].replace("T", " "),
        model=info.identity.model,
        dataset=info.identity.dataset,
        protocol=info.identity.protocol,
        remark=" ".join(remarks),
    )


@runs.command(epilog="Example: umd runs delete 'ellipsoid.*' --yes")
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(names: tuple[str, ...], yes: bool) -> None:
    """Delete RUN... with all masks and scores, after a question."""
    from evaluator.errors import write_fault
    from evaluator.runs.names import choose_runs

    chosen = choose_runs(names)
    for store in chosen:
        click.echo(f"{store.path} ({_size(store)})")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nothing is deleted without --yes, as nobody can be asked")
        click.confirm(f"Delete {counted(len(chosen), 'run')} for good?", abort=True)
    for store in chosen:
        try:
            with store.writing():
                shutil.rmtree(store.path)
        except OSError as error:
            raise write_fault(store.path, error) from error
        click.echo(f"deleted {store.name}")


@runs.command(epilog="Example: umd runs verify 'ellipsoid.*'")
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
def verify(names: tuple[str, ...]) -> None:
    """Hash every record, score file, prompt and mask of RUN... and compare with what was recorded.

    Tables of a run look at the files' sizes and times only. Exit code 1 if a file was changed.
    """
    from evaluator.runs.changed_files import find_changes
    from evaluator.runs.names import choose_runs

    failed = False
    for store in choose_runs(names):
        changes = list(find_changes(store))
        failed = failed or bool(changes)
        for change in changes:
            click.echo(f"{store.name}: {change}")
        if not changes:
            click.echo(f"{store.name}: every file is as the run wrote it")
    raise SystemExit(1 if failed else 0)


def _size(store: RunStore) -> str:
    total = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    return f"{total / 1e6:.1f} MB"
