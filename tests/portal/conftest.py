"""A challenge with two teams, and clients of its portal that are signed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from evaluator.challenges.opening import OpenChallenge, init_challenge, open_challenge
from evaluator.challenges.queue import Claim
from evaluator.challenges.submitting import inspect_received
from evaluator.portal.accounts import create_token
from evaluator.portal.app import portal

URL = "https://challenge.example.org"


def write_definition(folder: Path, **replaced: str) -> None:
    """Replace words of a challenge's definition."""
    path = folder / "challenge.toml"
    text = path.read_text()
    for before, after in replaced.values():
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


@pytest.fixture
def challenge(tmp_path: Path) -> Iterator[OpenChallenge]:
    """A challenge that takes archives and has a quota of two a day."""
    folder = init_challenge(tmp_path / "challenge").path
    write_definition(
        folder,
        engine=('engine = "local"', 'engine = "docker"'),
        quota=("per_day = 5", "per_day = 2"),
        size=("archive_gib = 40", "archive_gib = 0.03"),
    )
    opened = open_challenge(folder)
    yield opened
    opened.close()


class Visitor:
    """A browser of somebody."""

    def __init__(self, challenge: OpenChallenge, app, token: str) -> None:
        self.challenge = challenge
        self.client = TestClient(app, base_url=URL, follow_redirects=False)
        self.token = token
        if token:
            answer = self.client.post("/sign-in", data={"token": token})
            assert answer.status_code == 303

    @property
    def csrf(self) -> str:
        """The session's value, as forms send it back."""
        state = self.client.app._app.state
        session = state.sessions.find(self.client.cookies.get(state.cookie, ""))
        return session.csrf if session else ""

    def get(self, path: str):
        return self.client.get(path)

    def post(self, path: str, **fields: str):
        return self.client.post(path, data={"csrf": self.csrf, **fields})


class Portal:
    """The portal and its visitors: nobody, two teams, an organiser."""

    def __init__(self, challenge: OpenChallenge, url: str = URL) -> None:
        self.challenge = challenge

        async def inspect(claim: Claim) -> None:
            await run_in_threadpool(inspect_received, challenge, claim)

        self.app = portal(challenge, url=url, inspect=inspect)
        self.tokens = {
            "blue": create_token(challenge, "blue", "team"),
            "red": create_token(challenge, "red", "team"),
            "alice": create_token(challenge, "alice", "organiser"),
        }
        self.visitors = {
            name: Visitor(challenge, self.app, token) for name, token in self.tokens.items()
        }
        self.visitors["nobody"] = Visitor(challenge, self.app, "")

    def __getattr__(self, name: str) -> Visitor:
        return self.visitors[name]


@pytest.fixture
def site(challenge: OpenChallenge) -> Portal:
    """The portal of the challenge."""
    return Portal(challenge)
