"""``umd challenge``: submissions of teams."""

from __future__ import annotations

import click

from evaluator.cli import challenge_organiser, challenge_team


@click.group(epilog="Example: umd challenge init my-challenge")
def challenge() -> None:
    """Organise a challenge: take images of teams, run and score them."""


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
    challenge_organiser.rebuild,
    challenge_team.submit,
    challenge_team.status,
    challenge_team.show,
    challenge_team.withdraw,
):
    challenge.add_command(command)
