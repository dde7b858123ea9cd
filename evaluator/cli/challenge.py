"""``umd challenge``: submissions of teams."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from evaluator.cli import challenge_organiser, challenge_team, challenge_tokens
from evaluator.cli.options import PATH, contract_option, json_option
from evaluator.plain_text import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.archives import ArchiveReport


@click.group(epilog="Example: umd challenge inspect submission.tar.gz")
def challenge() -> None:
    """Inspect, run and rank the images of teams."""


@challenge.command(epilog="Example: umd challenge inspect submission.tar.gz")
@click.argument("archive", type=PATH)
@contract_option
@json_option("archive")
def inspect(archive: Path, contract: str | None, as_json: bool) -> None:
    """Say what an archive of docker save holds and what is wrong with it, without running it.

    Exit code 1 if the archive would be refused.
    """
    from evaluator.challenges.archives import inspect_archive

    report = inspect_archive(archive, contract=contract)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"accepted": report.accepted}))
    else:
        _print_report(report)
    raise SystemExit(0 if report.accepted else 1)


def _print_report(report: ArchiveReport) -> None:
    click.echo(f"archive   {report.packed_bytes / 2**20:.1f} MiB, sha256 {report.sha256 or 'none'}")
    for image in report.images:
        config = image.config
        lines = {
            "image": config.digest,
            "tags": ", ".join(config.tags) or "none",
            "platform": f"{image.os}/{config.architecture}",
            "user": config.user or "root (none is named)",
            "starts": " ".join((*config.entrypoint, *config.command)) or "nothing",
            "contract": image.contract or "no label umd.contract",
            "layers": f"{image.layers}, {image.packed_bytes / 2**20:.1f} MiB packed, "
            f"{image.unpacked_bytes / 2**20:.1f} MiB unpacked, {image.entries} entries",
        }
        for name, text in lines.items():
            click.echo(f"{name:9} {clean_text(text, 300)}")
    for problem in report.problems:
        click.echo(f"problem   {problem}")
    for note in report.notes:
        click.echo(f"note      {note}")
    click.echo("accepted" if report.accepted else "refused")


for command in (
    challenge_organiser.init,
    challenge_organiser.check,
    challenge_organiser.baseline,
    challenge_organiser.work,
    challenge_organiser.approve,
    challenge_organiser.rerun,
    challenge_organiser.disqualify,
    challenge_organiser.reinstate,
    challenge_organiser.rescore,
    challenge_organiser.leaderboard,
    challenge_organiser.rebuild,
    challenge_organiser.verify,
    challenge_team.submit,
    challenge_team.status,
    challenge_team.show,
    challenge_team.withdraw,
    challenge_tokens.token,
):
    challenge.add_command(command)
