"""``umd challenge token``: who may sign in at the portal."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from evaluator.cli.challenge_options import challenge_option, opened
from evaluator.cli.options import json_option
from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_table, table_options

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = (
    Column(name="name", text=True),
    Column(name="role", text=True),
    Column(name="created", text=True),
)


@click.group(epilog="Example: umd challenge token create blue")
def token() -> None:
    """Tokens with which teams and organisers sign in at the portal (umd serve)."""


@token.command(epilog="Example: umd challenge token create blue")
@click.argument("name")
@challenge_option
@click.option("--organiser", is_flag=True, help="Of an organiser, who sees and decides everything.")
def create(name: str, challenge: Path, organiser: bool) -> None:
    """Make a token for the team NAME, and print it. It is stored nowhere: send it to the team."""
    from evaluator.portal.accounts import create_token

    with opened(challenge) as present:
        text = create_token(present, name, "organiser" if organiser else "team")
    click.echo(text)


@token.command("list", epilog="Example: umd challenge token list")
@challenge_option
@table_options
@json_option("token")
def list_tokens(challenge: Path, as_json: bool) -> None:
    """List who has a token."""
    from evaluator.portal.accounts import read_accounts

    with opened(challenge) as present:
        accounts = read_accounts(present)
    if as_json:
        for account in accounts:
            facts = asdict(account)
            del facts["sha256"]
            click.echo(json.dumps(facts))
        return
    rows = [(account.name, account.role, account.created) for account in accounts]
    print_table(Table(columns=_COLUMNS, rows=rows))


@token.command(epilog="Example: umd challenge token revoke blue")
@click.argument("name")
@challenge_option
def revoke(name: str, challenge: Path) -> None:
    """Make all tokens of NAME invalid, and end its sessions."""
    from evaluator.portal.accounts import revoke_tokens

    with opened(challenge) as present:
        count = revoke_tokens(present, name)
    click.echo(f"{name}: {count} token{'' if count == 1 else 's'} revoked")
