"""A challenge with two teams, and clients of its portal that are signed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from evaluator.challenges import queue
from evaluator.challenges.opening import OpenChallenge, init_challenge, open_challenge
from evaluator.challenges.queue import Claim
from evaluator.challenges.result_file import (
    ChallengeResult,
    ResultDigests,
    ResultMetric,
    ResultTimes,
    ResultTotal,
)
from evaluator.challenges.submitting import inspect_received
from evaluator.portal.accounts import create_token
from evaluator.portal.app import portal
from evaluator.runs.json_types import write_typed

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

        async def publish() -> None:
            self.published += 1

        self.published = 0
        self.app = portal(challenge, url=url, inspect=inspect, publish=publish)
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


def enter_result(challenge: OpenChallenge, submission: str) -> None:
    """Enter a result, as a worker does that has scored a submission; it is not signed."""
    folder = challenge.folder.submission(submission)
    record = folder.record()
    result = ChallengeResult(
        challenge=challenge.definition.name,
        submission=submission,
        team=record.team,
        track=record.track,
        phase=record.phase,
        version=1,
        evaluation=1,
        reason="evaluation",
        received=record.received,
        scored=record.received,
        digests=ResultDigests(image="sha256:1", dataset="2", protocol="3", challenge="4", run="5"),
        dataset="phantom-toy",
        protocol="box",
        software="0",
        scorer=1,
        engine="docker",
        isolates=True,
        synthetic=True,
        random_weights=False,
        image_blind=False,
        failures="worst",
        metrics=(ResultMetric(name="dice", direction="higher", weight=1.0),),
        predictions={"ok": 3, "timeout": 1},
        reproducibility="not-checked",
        warnings=("SYNTHETIC DATA",),
        totals=(ResultTotal(metric="dice", modality="", value=0.8125, subjects=2),),
        times=ResultTimes(requests=4, median_seconds=1.5, longest_seconds=2.5),
        scores=(),
        log_head="0" * 64,
    )
    folder.result_path(1).parent.mkdir(parents=True, exist_ok=True)
    write_typed(folder.result_path(1), result)
    queue.end(challenge.database, submission, 1, outcome="scored", result=1)
