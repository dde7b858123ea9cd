"""``umd challenge init``, ``check``, ``work`` and the organiser's other commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.challenge_options import challenge_option, opened
from evaluator.cli.options import PATH, FiniteRange, runtime_option
from evaluator.plain_text import clean_text, counted

if TYPE_CHECKING:
    from pathlib import Path

reason_option = click.option("--reason", required=True, help="Why; the log keeps it.")


@click.command(epilog="Example: umd challenge init my-challenge")
@click.argument("folder", type=PATH)
def init(folder: Path) -> None:
    """Make a new challenge in FOLDER, which runs on synthetic data at once."""
    from evaluator.challenges.opening import init_challenge

    made = init_challenge(folder)
    click.echo(f"{made.path}: edit challenge.toml, then: umd challenge check {folder}")


@click.command(epilog="Example: umd challenge check my-challenge")
@click.argument("folder", type=PATH)
def check(folder: Path) -> None:
    """Say what is wrong with the challenge in FOLDER. Exit code 1 if there is an error."""
    from evaluator.challenges.checking import check_challenge

    problems = check_challenge(folder)
    for problem in problems:
        click.echo(f"{problem.severity}: {problem.place}: {problem.message}")
    errors = sum(problem.severity == "error" for problem in problems)
    click.echo(f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}")
    raise SystemExit(1 if errors else 0)


@click.command(epilog="Example: umd challenge work --slots 2 --gpu 0 --gpu 1")
@challenge_option
@click.option(
    "--slots",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Submissions at the same time.",
)
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    help='GPUs of a slot: "all", "none", or indices such as 0 or 0,1 (repeat it for each slot; '
    'default: "all").',
)
@runtime_option
@click.option("--once", is_flag=True, help="End after one submission.")
@click.option("--until-empty", is_flag=True, help="End when no submission waits or runs.")
@click.option(
    "--lease",
    type=FiniteRange(min=1.0),
    default=60.0,
    show_default=True,
    help="Seconds without a sign of life after which another worker takes over.",
)
def work(
    challenge: Path,
    slots: int,
    gpus: tuple[str, ...],
    runtime: str | None,
    once: bool,
    until_empty: bool,
    lease: float,
) -> None:
    """Evaluate the submissions that wait, one after another.

    Several workers may run, on several machines that share the folder and the database.
    """
    from evaluator.challenges.worker import Worker, WorkerOptions
    from evaluator.cli.options import parse_gpus
    from evaluator.containers.engines import open_engine

    for text in gpus:
        parse_gpus(text)
    options = WorkerOptions(
        slots=slots,
        gpus=gpus or ("all",),
        runtime=runtime or "",
        once=once,
        until_empty=until_empty,
        pause=min(2.0, lease / 4),
        lease=lease,
    )
    with opened(challenge) as present:
        if runtime is not None:
            open_engine(present.definition.engine, runtime)  # says what is wrong with it
        worker = Worker(present, options)
        click.echo(f"worker {worker.name} on {present.folder.path}", err=True)
        count = worker.run()
    click.echo(f"{counted(count, 'submission')} evaluated")


@click.command(epilog="Example: umd challenge baseline")
@challenge_option
def baseline(challenge: Path) -> None:
    """Hand in the baseline of challenge.toml for each track of the open phase that lacks it."""
    from evaluator.challenges.baselines import submit_baselines

    with opened(challenge) as present:
        for submission in submit_baselines(present):
            click.echo(f"submission {submission}: baseline")


@click.command(epilog="Example: umd challenge approve 20270131-00c0ffee")
@click.argument("submission")
@challenge_option
def approve(submission: str, challenge: Path) -> None:
    """Let a checked submission into the queue, where a phase has approval = "organiser"."""
    from evaluator.challenges.actions import approve as let_in

    with opened(challenge) as present:
        let_in(present, submission)
    click.echo(f"submission {submission}: queued")


@click.command(epilog="Example: umd challenge rerun 20270131-00c0ffee --reason 'driver replaced'")
@click.argument("submission")
@challenge_option
@reason_option
def rerun(submission: str, challenge: Path, reason: str) -> None:
    """Evaluate a submission once more; earlier results are kept."""
    from evaluator.challenges.actions import rerun as evaluate_again

    with opened(challenge) as present:
        job = evaluate_again(present, submission, reason=reason)
    click.echo(f"submission {submission}: queued, evaluation {job}")


@click.command(epilog="Example: umd challenge disqualify 20270131-00c0ffee --reason 'uses ...'")
@click.argument("submission")
@challenge_option
@reason_option
def disqualify(submission: str, challenge: Path, reason: str) -> None:
    """Take a submission out of the ranking; one that runs is ended."""
    from evaluator.challenges.actions import disqualify as exclude

    with opened(challenge) as present:
        exclude(present, submission, reason=reason)
    click.echo(f"submission {submission}: disqualified")


@click.command(epilog="Example: umd challenge reinstate 20270131-00c0ffee --reason 'our mistake'")
@click.argument("submission")
@challenge_option
@reason_option
def reinstate(submission: str, challenge: Path, reason: str) -> None:
    """Take a disqualification back."""
    from evaluator.challenges.actions import reinstate as take_in

    with opened(challenge) as present:
        take_in(present, submission, reason=reason)
    click.echo(f"submission {submission}: no longer disqualified")


@click.command(epilog="Example: umd challenge rescore --all --reason 'new version of the metrics'")
@click.argument("submissions", nargs=-1)
@challenge_option
@click.option("--all", "everything", is_flag=True, help="All submissions that have a result.")
@reason_option
def rescore(submissions: tuple[str, ...], challenge: Path, everything: bool, reason: str) -> None:
    """Score the masks of SUBMISSIONS again, without containers; earlier results are kept."""
    from evaluator.challenges.actions import rescore as score_again
    from evaluator.challenges.queries import statuses

    if bool(submissions) == everything:
        raise click.UsageError("name submissions, or write --all")
    with opened(challenge) as present:
        names = submissions or [entry.id for entry in statuses(present) if entry.result]
        for name in names:
            result = score_again(present, name, reason=reason)
            click.echo(f"submission {name}: result {result.version}")


@click.command(epilog="Example: umd challenge leaderboard -o site")
@challenge_option
@click.option("-o", "--output", type=PATH, required=True, help="Folder to write, with index.html.")
@click.option(
    "--organiser", is_flag=True, help="Show everything, also what is under embargo; not public."
)
def leaderboard(challenge: Path, output: Path, organiser: bool) -> None:
    """Write the ranking as a static site and JSON, from signed results.

    Without --organiser it holds what the public may see now.
    """
    from evaluator.challenges.leaderboard import write_leaderboard

    with opened(challenge) as present:
        index = write_leaderboard(present, output, organiser=organiser)
    click.echo(f"written: {index}")


@click.command(epilog="Example: umd challenge rebuild")
@challenge_option
def rebuild(challenge: Path) -> None:
    """Make the database again from the submissions' files and the log, while no worker runs."""
    from evaluator.challenges.rebuild import rebuild as make_again

    with opened(challenge) as present:
        made = make_again(present)
    for problem in made.problems:
        click.echo(f"problem: {clean_text(problem)}")
    click.echo(counted(made.submissions, "submission"))


@click.command(epilog="Example: umd challenge verify my-challenge")
@click.argument("path", type=PATH)
@click.option(
    "--key", type=PATH, help="Public key (default: that of the challenge, which says less)."
)
@click.option("--head", help="Hash of a line of the log that was noted earlier.")
def verify(path: Path, key: Path | None, head: str | None) -> None:
    """Check a challenge's log and results, or the signature of one result file, PATH.

    Exit code 1 if something was changed; the first broken line of the log is named.
    """
    from evaluator.challenges.folder import ChallengeFolder
    from evaluator.challenges.signed_results import result_problem
    from evaluator.challenges.verifying import verify_challenge

    if path.is_file():
        if key is None:
            raise click.UsageError("the signature of a result needs --key, the public key")
        problem = result_problem(path, key)
        click.echo(problem or "the signature is right")
        raise SystemExit(1 if problem else 0)
    verification = verify_challenge(
        ChallengeFolder(path.resolve()), public_key=key, known_head=head
    )
    chain = verification.chain
    if chain.broken_line is None:
        click.echo(f"log: {chain.lines} lines are intact; head {chain.head}")
    else:
        click.echo(f"log: line {chain.broken_line} is broken: {chain.reason}")
    for problem in verification.problems:
        click.echo(f"problem: {clean_text(problem)}")
    click.echo(f"{verification.results} results have a right signature and are in the log")
    raise SystemExit(0 if verification.is_intact else 1)
