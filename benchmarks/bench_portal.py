"""Load of a challenge's portal: people who read at the same time, and one large upload.

    PYTHONPATH=. python benchmarks/bench_portal.py --people 50 --seconds 20 --upload-gib 4

It makes a challenge with 200 submissions in a temporary folder and starts ``umd serve``. People
sign in and read pages without a pause. The upload sends random bytes in parts, is broken off twice,
and is handed in.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import numpy as np

from evaluator.challenges.opening import OpenChallenge, init_challenge, open_challenge
from evaluator.challenges.submitting import submit
from evaluator.portal.accounts import create_token

SUBMISSIONS, TEAMS = 200, 10
PAGES = ("/", "/submissions", "/submit", "/submissions/{}")
MIB = 2**20


def make_challenge(folder: Path) -> tuple[OpenChallenge, dict[str, str], dict[str, str]]:
    """A challenge; tokens and a submission of each team."""
    init_challenge(folder)
    path = folder / "challenge.toml"
    text = path.read_text().replace('engine = "local"', 'engine = "docker"')
    path.write_text(text.replace("per_day = 5, per_phase = 20", "per_day = 1000"))
    challenge = open_challenge(folder)
    teams = [f"team-{number}" for number in range(TEAMS)]
    tokens = {team: create_token(challenge, team, "team") for team in teams}
    last = {}
    for number in range(SUBMISSIONS):
        team = teams[number % TEAMS]
        reference = f"registry.example.org/{team}/model:{number}"
        last[team] = submit(challenge, reference, team=team, track="box")
    return challenge, tokens, last


async def sign_in(client: httpx2.AsyncClient, token: str) -> None:
    """Sign one person in."""
    answer = await client.post("/sign-in", data={"token": token})
    assert answer.status_code == 303, answer.text


async def read_pages(
    client: httpx2.AsyncClient, submission: str, end: float, seconds: list[float]
) -> None:
    """One person, who reads until the end."""
    while time.monotonic() < end:
        for page in PAGES:
            begin = time.monotonic()
            answer = await client.get(page.format(submission))
            seconds.append(time.monotonic() - begin)
            assert answer.status_code == 200, answer.text


async def load(
    url: str, tokens: dict[str, str], last: dict[str, str], people: int, duration: float
) -> None:
    """Many people at the same time."""
    names = [list(tokens)[number % len(tokens)] for number in range(people)]
    clients = [httpx2.AsyncClient(base_url=url, timeout=60) for _ in names]
    begin = time.monotonic()
    await asyncio.gather(
        *(sign_in(client, tokens[team]) for client, team in zip(clients, names, strict=True))
    )
    print(f"{people} people signed in within {time.monotonic() - begin:.1f} s")
    seconds: list[float] = []
    begin = time.monotonic()
    readers = [
        read_pages(client, last[team], begin + duration, seconds)
        for client, team in zip(clients, names, strict=True)
    ]
    await asyncio.gather(*readers)
    passed, values = time.monotonic() - begin, np.array(seconds)
    print(f"{len(values)} requests: {len(values) / passed:.0f} a second")
    for percent in (50, 90, 99, 100):
        print(f"  {percent:3} % within {1000 * np.percentile(values, percent):.0f} ms")
    for client in clients:
        await client.aclose()


def memory_mib(process: int) -> float:
    """Largest resident memory of a process so far."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def upload(url: str, token: str, size: int) -> None:
    """Send random bytes, broken off twice by closing the connection inside a part."""
    headers = {"Authorization": f"Bearer {token}"}
    wish = {"track": "box", "name": "large.tar", "size": size}
    block, total, begin = os.urandom(8 * MIB), hashlib.sha256(), time.monotonic()
    breaks = [size // 3, 2 * size // 3]
    hashed = 0
    with httpx2.Client(base_url=url, timeout=600) as client:
        state = client.post("/uploads", json=wish, headers=headers).json()
        path, offset = f"/uploads/{state['id']}", state["offset"]
        while offset < size:
            number = offset.to_bytes(8, "big")
            part = (number + block[8:])[: min(state["part"], size - offset)]
            if hashed == offset:
                total.update(part)
                hashed += len(part)
            if breaks and offset >= breaks[0]:
                breaks.pop(0)
                break_off(url, path, offset, part, headers)
                offset = client.get(path, headers=headers).json()["offset"]
                print(f"  broken off, continues at {offset / MIB:.0f} MiB")
            digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
            more = {"Content-Digest": f"sha-256=:{digest}:"}
            answer = client.put(
                path, params={"offset": offset}, content=part, headers=headers | more
            )
            offset = answer.json()["offset"]
        sent = time.monotonic() - begin
        end = client.post(f"{path}/finish", headers=headers).json()
    assert end["sha256"] == total.hexdigest(), "the file differs"
    handed_in = time.monotonic() - begin - sent
    print(f"upload of {size / 2**30:g} GiB: {size / MIB / sent:.0f} MiB/s, handed in in "
          f"{handed_in:.1f} s")  # fmt: skip


def break_off(url: str, path: str, offset: int, part: bytes, headers: dict[str, str]) -> None:
    """Send half of a part, and close the connection."""

    def half():
        yield part[: len(part) // 2]
        raise ConnectionError

    more = {"Content-Length": str(len(part))}
    try:
        httpx2.put(f"{url}{path}?offset={offset}", content=half(), headers=headers | more)
    except ConnectionError:
        return
    raise AssertionError("it was not broken off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--upload-gib", type=float, default=0.0)
    parser.add_argument("--folder", type=Path, help="where the challenge is made (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        challenge, tokens, last = make_challenge(Path(folder) / "challenge")
        command = [sys.executable, "-c", "from evaluator.cli.main import main; main()", "serve"]
        command += [str(challenge.folder.path), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            url = server.stdout.readline().split()[-1]
            wait_until_it_answers(url)
            print(f"memory before: {memory_mib(server.pid):.0f} MiB")
            if options.people:
                asyncio.run(load(url, tokens, last, options.people, options.seconds))
                print(f"memory: {memory_mib(server.pid):.0f} MiB")
            if options.upload_gib:
                upload(url, next(iter(tokens.values())), int(options.upload_gib * 2**30))
                print(f"memory: {memory_mib(server.pid):.0f} MiB")
        finally:
            server.terminate()
            server.wait()
            challenge.close()


def wait_until_it_answers(url: str) -> None:
    """Wait for the server."""
    for _ in range(300):
        try:
            httpx2.get(f"{url}/health")
        except httpx2.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not start")


if __name__ == "__main__":
    main()
