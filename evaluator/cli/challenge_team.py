"""``umd challenge submit``, ``status``, ``show`` and ``withdraw``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from evaluator.cli.challenge_options import challenge_option, opened
from evaluator.cli.options import json_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_table, table_options

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.queries import SubmissionView
    from evaluator.challenges.states import Status

_COLUMNS = (
    Column(name="submission", text=True),
    Column(name="team", text=True),
    Column(name="track", text=True),
    Column(name="phase", text=True, level=1),
    Column(name="received", text=True, level=2),
    Column(name="state", text=True),
    Column(name="result"),
    Column(name="detail", text=True, wraps=True, level=1),
)


@click.command(epilog="Example: umd challenge submit image.tar --team blue --track box")
@click.argument("image")
@challenge_option
@click.option("--team", required=True, help="Name of the team.")
@click.option("--track", required=True, help="Name of the track.")
def submit(image: str, challenge: Path, team: str, track: str) -> None:
    """Hand in IMAGE: a file written by docker save, or the reference of an image.

    The archive is inspected without being run. Exit code 1 if it is refused.
    """
    from evaluator.challenges.queries import status_of
    from evaluator.challenges.submitting import submit as hand_in

    with opened(challenge) as present:
        submission = hand_in(present, image, team=team, track=track)
        check = present.folder.submission(submission).check()
        status = status_of(present, submission)
    click.echo(f"submission {submission}: {status.state}")
    for kind, lines in (
        ("problem", check.problems if check else ()),
        ("note", check.notes if check else ()),
    ):
        for line in lines:
            click.echo(f"  {kind}: {line}")
    if status.state == "failed":
        raise SystemExit(1)


@click.command(epilog="Example: umd challenge status --team blue")
@challenge_option
@click.option("--team", help="Only of this team.")
@click.option("--track", help="Only in this track.")
@table_options
@json_option("submission")
def status(challenge: Path, team: str | None, track: str | None, as_json: bool) -> None:
    """List the submissions with their states, and the workers."""
    from evaluator.challenges.queries import statuses, workers

    with opened(challenge) as present:
        found = statuses(present, team=team, track=track)
        active = [] if as_json else workers(present)
    if as_json:
        for entry in found:
            click.echo(json.dumps(asdict(entry)))
        return
    print_table(Table(columns=_COLUMNS, rows=[_row(entry) for entry in found]))
    for worker in active:
        click.echo(f"worker {worker.name}: {worker.slots} slots, seen {worker.silent:.0f} s ago")


def _row(entry: Status) -> tuple[object, ...]:
    received = datetime.fromtimestamp(entry.received, UTC)
    state = f"failed ({entry.fault})" if entry.fault else entry.state
    detail = " ".join(entry.detail.split())
    return (
        entry.id,
        entry.team,
        entry.track,
        entry.phase,
        f"{received:%Y-%m-%d %H:%M}",
        state,
        entry.result or None,
        detail,
    )


@click.command(epilog="Example: umd challenge show 20270131-00c0ffee --team blue")
@click.argument("submission")
@challenge_option
@click.option("--team", help="Show what this team may see (default: all, for the organiser).")
def show(submission: str, challenge: Path, team: str | None) -> None:
    """Show a submission: state, inspection, logs, and totals."""
    from evaluator.challenges.queries import view_submission
    from evaluator.errors import UserError

    with opened(challenge) as present:
        view = view_submission(present, submission, organiser=team is None)
    if team is not None and view.status.team != team:
        raise UserError(f"submission {submission} is not of team {team}")
    _print_view(view)


def _print_view(view: SubmissionView) -> None:
    status = view.status
    click.echo(f"submission  {status.id}, team {status.team}, track {status.track}")
    fault = f", fault of the {status.fault}" if status.fault else ""
    click.echo(f"state       {status.state}{fault}")
    if status.detail:
        click.echo(f"detail      {status.detail}")
    for problem in view.check.problems if view.check else ():
        click.echo(f"problem     {problem}")
    for note in view.check.notes if view.check else ():
        click.echo(f"note        {note}")
    done, scans = view.progress
    click.echo(f"progress    {done} of {scans} hidden scans, evaluation {status.job}")
    for title, lines in (("dry run", view.probe_log), ("hidden cases", view.hidden_log)):
        if lines:
            click.echo(f"log of the {title}:")
        for line in lines:
            click.echo(f"  {line}")
    if view.hidden_log_reason:
        click.echo(f"log         {view.hidden_log_reason}")
    if view.result is None:
        click.echo(f"result      {view.result_reason}")
        return
    result = view.result
    click.echo(f"result      {result.version}, {result.reason}, {result.scored}")
    counts = ", ".join(f"{count} {name}" for name, count in result.predictions.items())
    click.echo(f"predictions {counts}; failures count as {result.failures}")
    for total in result.totals:
        where = total.modality or "all modalities"
        subjects = "1 subject" if total.subjects == 1 else f"{total.subjects} subjects"
        click.echo(f"  {total.metric:10} {where:15} {total.value:10.4f}  ({subjects})")


@click.command(epilog="Example: umd challenge withdraw 20270131-00c0ffee --team blue")
@click.argument("submission")
@challenge_option
@click.option("--team", required=True, help="Name of the team whose submission it is.")
def withdraw(submission: str, challenge: Path, team: str) -> None:
    """Take a submission back; one that runs is ended."""
    from evaluator.challenges.actions import withdraw as take_back

    with opened(challenge) as present:
        take_back(present, submission, team=team)
    click.echo(f"submission {submission}: withdrawn")
