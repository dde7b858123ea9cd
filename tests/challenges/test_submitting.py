"""What can be handed in, and what is refused before it counts for a quota."""

from __future__ import annotations

import pytest

from evaluator.challenges.opening import init_challenge, open_challenge
from evaluator.challenges.queries import statuses
from evaluator.challenges.submitting import submit
from evaluator.errors import UserError


@pytest.fixture
def challenge(tmp_path):
    folder = init_challenge(tmp_path / "challenge")
    definition = folder.path / "challenge.toml"
    definition.write_text(definition.read_text().replace('"local"', '"docker"'))
    opened = open_challenge(folder.path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "source",
    [
        "missing.tar",
        "no/such.tar.gz",
        "/etc",
        "../../none/passwd",
        "",
        "-x",
        "a b",
        "UP/Case:",
        "x@y",
    ],
)
def test_what_is_no_image_does_not_count(challenge, source):
    with pytest.raises(UserError):
        submit(challenge, source, team="blue", track="box")
    assert statuses(challenge) == []
    assert list(challenge.folder.incoming.glob("*")) == []
    assert [event.event for event in challenge.folder.log.events()] == ["created"]


@pytest.mark.parametrize(
    "source",
    [
        "ubuntu",
        "registry.example:5000/team/net_v2:1.0",
        "ghcr.io/team/net@sha256:" + "0" * 64,
    ],
)
def test_a_reference_waits_to_be_pulled(challenge, source):
    submit(challenge, source, team="blue", track="box")
    assert [status.state for status in statuses(challenge)] == ["queued"]


def test_a_damaged_archive_fails_by_the_teams_fault(challenge, tmp_path):
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"no archive")
    submit(challenge, str(archive), team="blue", track="box")
    (status,) = statuses(challenge)
    assert (status.state, status.fault) == ("failed", "team")
    assert "no readable tar file" in status.detail


@pytest.mark.parametrize(
    ("team", "message"),
    [
        *((name, "a name has letters") for name in ("../x", "a\0b", "a\n", "\u202ea", "..", "")),
        *((name, "a name has letters") for name in ("x" * 64, "\u00c5", "A\u030a", "a b", "-x")),
        *((name, "is the organiser's") for name in ("baseline", "Baseline")),
        ("BLUE", "the team blue differs in its case only"),
    ],
)
def test_names_that_cannot_take_part(challenge, team, message):
    submit(challenge, "ubuntu", team="blue", track="box")
    with pytest.raises(UserError, match=message):
        submit(challenge, "ubuntu", team=team, track="box")
    with pytest.raises(UserError, match="no track named"):
        submit(challenge, "ubuntu", team="blue", track=team)
    assert len(statuses(challenge)) == 1
