"""umd challenge verify sees files that were exchanged, edited, signed anew or rolled back."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from evaluator.challenges.signing import PRIVATE_NAME, PUBLIC_NAME, create_keys
from evaluator.challenges.verifying import verify_challenge
from tests.challenges.scored_submissions import Scored, add_scored, toy_challenge


@pytest.fixture
def challenge(tmp_path):
    """Two scored submissions with an intact log."""
    opened = toy_challenge(tmp_path / "challenge")
    values = np.full((2, 2, 2, 3), 0.5)
    names = add_scored(opened, [Scored("blue", values), Scored("red", values / 2)])
    opened.folder.log_path.unlink()
    for name, team in zip(names, ("blue", "red"), strict=True):
        facts = {"team": team, "track": "box", "phase": "test"}
        opened.folder.log.append("received", submission=name, actor=team, facts=facts)
        opened.folder.log.append("scored", submission=name, facts={"result": 1})
    assert verify_challenge(opened.folder).is_intact
    yield opened
    opened.close()


def paths_of(challenge):
    return [challenge.folder.submission(name).result_path(1) for name in challenge.folder.ids()]


def exchange(challenge):
    first, second = paths_of(challenge)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def copy_as_newer(challenge):
    first, _ = paths_of(challenge)
    shutil.copy(first, first.with_name("2.json"))


def change_team(challenge):
    path = challenge.folder.submission(challenge.folder.ids()[0]).record_path
    path.write_text(path.read_text().replace('"blue"', '"red"'))


def cut_record(challenge):
    path = challenge.folder.submission(challenge.folder.ids()[0]).record_path
    path.write_bytes(path.read_bytes()[:20])


def remove_result(challenge):
    paths_of(challenge)[0].unlink()


def remove_submission(challenge):
    """One without a result, which no result misses."""
    facts = {"team": "green", "track": "box", "phase": "test"}
    challenge.folder.log.append("received", submission="20260101-0", actor="green", facts=facts)


def new_key(challenge):
    shutil.rmtree(challenge.folder.signing_key.parent)
    create_keys(challenge.folder.path / "private")
    made = challenge.folder.path / "private" / PUBLIC_NAME
    shutil.move(made, challenge.folder.public_key)
    assert (challenge.folder.path / "private" / PRIVATE_NAME).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (exchange, "it is result 1 of submission"),
        (copy_as_newer, "it is result 1 of submission"),
        (change_team, "team is 'red', and was 'blue'"),
        (cut_record, "submission.json"),
        (remove_result, "which is missing"),
        (remove_submission, "the log tells of submission 20260101-0, whose files are missing"),
        (new_key, "signed with another key"),
    ],
)
def test_what_was_exchanged_is_named(challenge, change, message):
    change(challenge)
    verification = verify_challenge(challenge.folder)
    assert not verification.is_intact
    assert message in verification.problems[0]


def test_an_older_copy_of_log_and_results_needs_the_head_that_was_noted(challenge):
    head = challenge.folder.log.head()
    path = challenge.folder.log_path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    shutil.rmtree(paths_of(challenge)[1].parent)
    assert verify_challenge(challenge.folder).is_intact
    assert "noted earlier" in verify_challenge(challenge.folder, known_head=head).chain.reason
