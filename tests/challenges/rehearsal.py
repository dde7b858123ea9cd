"""A rehearsal: six teams, two tracks, 14 images, from an empty folder to a leaderboard.

``python -m tests.challenges.rehearsal FOLDER --data phantom-toy --data ibsi-sts --kills 20`` uses
the commands of docs/organising-a-challenge.md, with Docker. It prints what came of each image. Then
it disturbs a copy of the challenge, whose submissions wait, and compares the leaderboards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluator.challenges.folder import ChallengeFolder, all_submissions
from tests.challenges.disturbances import Site, SmallDisk, containers, disturb
from tests.challenges.postgres import PostgresServer
from tests.challenges.rehearsal_images import SOCKETS, SUBMISSIONS, Handed, build_images

#: file system of the disturbed challenge beyond its archives, MiB
SPARE_MIB = 96
#: pause between two kills, seconds
PAUSES = (1.0, 15.0)
SECONDS = 3 * 3600.0
WORKERS = 3
TRACKS = """
[[tracks]]
name = "box"
title = "A box on each image"
protocol = "box"
prompts = ["box"]
contract = "cvpr25"

[[tracks]]
name = "point"
title = "One point"
protocol = "point-1"
prompts = ["point"]
contract = "grand-challenge"
sockets = "sockets.toml"
"""
#: of the leaderboard, and of its entries and histories: times, and hashes of files that hold times
TIMES = {"as_of", "received", "scored", "times", "result_sha256"}

Row = dict[str, Any]


def new_challenge(path: Path, data: str) -> Site:
    """A challenge that was made by ``umd challenge init``, on a hidden dataset."""
    site = Site(folder=ChallengeFolder(path), engine="docker", log=path.with_suffix(".log"))
    run(site, "init", str(path))
    definition = path / "challenge.toml"
    text = definition.read_text().partition("[[tracks]]")[0] + TRACKS
    for old, new in (
        ('engine = "local"', 'engine = "docker"'),
        ('hidden_dataset = "phantom-toy"', f'hidden_dataset = "{data}"'),
        ("request_seconds = 120", "request_seconds = 60"),
        ("host_retries = 3", "host_retries = 50"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    definition.write_text(text)
    (path / "sockets.toml").write_text(SOCKETS)
    run(site, "check", str(path))
    return site


def run(site: Site, *words: str) -> str:
    """Run a command of ``umd challenge``, which must succeed; returns what it printed."""
    ended = site.umd(*words)
    assert ended.returncode == 0, (words, ended.stdout[-2000:], ended.stderr[-2000:])
    return ended.stdout


def submit_all(site: Site, sources: dict[str, str]) -> dict[str, Handed]:
    """Hand in every image.

    Returns:
        id of the submission -> what was handed in.
    """
    submitted = {}
    for handed in SUBMISSIONS:
        earlier = set(site.folder.ids())
        # an image that is refused ends the command with 1, and is a submission
        site.umd("submit", sources[handed.image], "--team", handed.team, "--track", handed.track)
        (name,) = set(site.folder.ids()) - earlier
        submitted[name] = handed
    return submitted


def rows_of(site: Site, submitted: dict[str, Handed]) -> list[Row]:
    """What came of each image, beside what must."""
    states = [json.loads(line) for line in run(site, "status", "--json").splitlines()]
    by_id = {state["id"]: state for state in states}
    rows = []
    for submission in all_submissions(site.folder):
        handed, state = submitted[submission.id], by_id[submission.id]
        outcome = submission.outcome(1)
        results = [json.loads(path.read_text()) for path in submission.results()]
        dice = [t["value"] for r in results for t in r["totals"] if _is_dice(t)]
        step = outcome.step if outcome else ""
        rows.append(
            {
                "handed": handed,
                "state": state["state"],
                "fault": state["fault"],
                "step": step,
                "dice": dice[0] if dice else None,
                "predictions": results[0]["predictions"] if results else {},
                "detail": state["detail"],
                "seconds": outcome.seconds if outcome else 0.0,
                "results": len(results),
                "right": (state["state"], state["fault"], step)
                == (handed.state, handed.fault, handed.step),
            }
        )
    return sorted(rows, key=lambda row: SUBMISSIONS.index(row["handed"]))


def _is_dice(total: dict[str, Any]) -> bool:
    return total["metric"] == "dice" and not total["modality"]


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| team | track | image | expected | seen | fault of | shown by | Dice | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        handed = row["handed"]
        dice = "" if row["dice"] is None else f"{row['dice']:.3f}"
        counts = ", ".join(f"{n} {status}" for status, n in row["predictions"].items())
        expected = " ".join(filter(None, (handed.state, handed.fault)))
        seen = f"{row['state']}{'' if row['right'] else ' (NOT AS EXPECTED)'}"
        lines.append(
            f"| {handed.team} | {handed.track} | {handed.kind} | {expected} | {seen} | "
            f"{row['fault']} | {row['step'] or counts} | {dice} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def leaderboard(site: Site, folder: Path) -> str:
    """Write the leaderboard; returns its JSON without times."""
    run(site, "leaderboard", "-o", str(folder))
    body = _without_times(json.loads((folder / "leaderboard.json").read_text()))
    return json.dumps(body, indent=1, sort_keys=True)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def faults_of(site: Site, rows: list[Row]) -> list[str]:
    """What is not as it should be at the end."""
    faults = [
        f"{row['handed']}: {row['state']} {row['step']} {row['detail']}"
        for row in rows
        if not row["right"] or row["results"] != (row["state"] == "scored")
    ]
    verified = site.umd("verify", str(site.folder.path))
    if verified.returncode:
        faults.append(verified.stdout + verified.stderr)
    ended: dict[str, int] = {}
    for event in site.folder.log.events():
        if event.event in ("scored", "failed"):
            ended[event.submission] = ended.get(event.submission, 0) + 1
    faults += [f"{name} ended {count} times" for name, count in ended.items() if count != 1]
    faults += [f"an attempt still runs: {process}" for process in site.attempts()]
    names = tuple(site.folder.ids())
    left = [line for line in containers() if line.partition(" ")[2].startswith(names)]
    return faults + [f"a container is left: {line}" for line in left]


def disturbed_copy(folder: Path, calm: Site, server: PostgresServer) -> tuple[Site, SmallDisk]:
    """A copy of a challenge whose submissions wait, on a small disk and in PostgreSQL."""
    size = sum(path.stat().st_size for path in calm.folder.path.rglob("*") if path.is_file())
    disk = SmallDisk(folder / "disk", size // 2**20 + SPARE_MIB)
    path = disk.folder / "challenge"
    shutil.copytree(calm.folder.path, path, ignore=shutil.ignore_patterns("challenge.db*"))
    url = server.create(f"r{time.monotonic_ns()}")
    log = folder / "disturbed.log"
    site = Site(folder=ChallengeFolder(path), engine="docker", url=url, log=log)
    run(site, "rebuild", "--challenge", str(path))
    return site, disk


def rehearse(folder: Path, data: str, sources: dict[str, str], kills: int, seed: int) -> list[str]:
    """The rehearsal on one dataset; returns what is wrong."""
    began = time.monotonic()

    def say(*texts: object, sep: str = " ") -> None:
        print(f"[{data}, {time.monotonic() - began:.0f} s]", *texts, sep=sep, flush=True)

    calm = new_challenge(folder / "calm", data)
    submitted = submit_all(calm, sources)
    say(f"{len(submitted)} submissions handed in")
    server = PostgresServer.in_new_folder() if kills else None
    disk = None
    try:
        if server:
            site, disk = disturbed_copy(folder, calm, server)
        calm.work(SECONDS, WORKERS)
        rows = rows_of(calm, submitted)
        faults = faults_of(calm, rows)
        expected = leaderboard(calm, folder / "leaderboard")
        say("undisturbed", table(rows), *faults, sep="\n")
        if server is None or disk is None:
            return faults
        between: dict[int, Callable[[], Any]] = {
            kills // 2: lambda: (server.stop(), time.sleep(4), server.start()),
            kills // 3: lambda: (disk.fill(), time.sleep(12), disk.free()),
        }
        killed = disturb(site, kills, seed, between, PAUSES, WORKERS, SECONDS)
        again = rows_of(site, submitted)
        faults += faults_of(site, again)
        disturbed = leaderboard(site, folder / "leaderboard-disturbed")
        if disturbed != expected:
            faults.append("the leaderboards differ")
        host = sum(event.event == "host fault" for event in site.folder.log.events())
        say(f"disturbed: {killed} kills, {host} faults of the host", table(again), sep="\n")
        equal = "equal" if disturbed == expected else "different"
        say(f"leaderboards of {len(disturbed)} bytes:", equal)
        say(*(faults or ["nothing lost, nothing scored twice"]), sep="\n")
        return faults
    finally:
        for closed in filter(None, (server, disk)):
            closed.close()


def main() -> int:
    """Rehearse on each dataset; 1 if something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", action="append", help="hidden dataset; may be repeated")
    parser.add_argument("--kills", type=int, default=20, help="0: no disturbance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=Path, help="where images were built before")
    options = parser.parse_args()
    sources = build_images(options.images or options.folder / "images")
    faults = []
    for data in options.data or ["phantom-toy"]:
        faults += rehearse(options.folder / data, data, sources, options.kills, options.seed)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
