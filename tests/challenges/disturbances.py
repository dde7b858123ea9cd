"""Workers that are killed, databases that restart and disks that fill, while submissions run.

``python -m tests.challenges.disturbances --engine docker --database postgresql --kills 20`` makes
two challenges with the same submissions, disturbs one of them, and compares what came of both.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.challenges.folder import ChallengeFolder, all_submissions
from evaluator.challenges.opening import init_challenge
from evaluator.challenges.result_file import ChallengeResult
from evaluator.challenges.verifying import verify_challenge
from evaluator.runs.json_types import read_typed
from tests.challenges.postgres import PostgresServer

#: models of the zoo without a GPU; region-growing takes no boxes, so it fails by its team's fault
MODELS = ("ellipsoid", "threshold", "region-growing")
LEASE_SECONDS = 3.0
UMD = str(Path(sys.executable).with_name("umd"))
#: pause between two kills, seconds
PAUSES = (0.3, 6.0)


@dataclass(slots=True)
class Site:
    """A challenge with its workers, which are processes of this one."""

    folder: ChallengeFolder
    engine: str
    #: URL of the database; empty: SQLite in the folder
    url: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    log: Path = Path(os.devnull)

    @classmethod
    def create(cls, path: Path, engine: str, url: str = "", salt: Path | None = None) -> Site:
        """A new challenge.

        Args:
            path: its folder.
            engine: of the containers.
            url: of the database; empty: SQLite.
            salt: of another challenge, so that the pseudonyms are equal.
        """
        folder = init_challenge(path)
        definition = folder.path / "challenge.toml"
        text = definition.read_text().replace('engine = "local"', f'engine = "{engine}"')
        text = text.replace("host_retries = 3", "host_retries = 50")
        definition.write_text(text.replace("per_day = 5", "per_day = 20"))
        if salt:
            folder.salt.write_bytes(salt.read_bytes())
        return cls(folder=folder, engine=engine, url=url, log=path.with_name(f"{path.name}.log"))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        database = {"UMD_CHALLENGE_DATABASE": self.url} if self.url else {}
        return os.environ | database | {"UMD_CHALLENGE": str(self.folder.path)}

    def umd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``umd challenge`` to its end."""
        return subprocess.run(
            [UMD, "challenge", *words],
            env=self.variables, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def submit(self, models: dict[str, str]) -> None:
        """Hand in each model: team -> reference."""
        for team, source in models.items():
            ended = self.umd("submit", source, "--team", team, "--track", "box")
            assert "submission" in ended.stdout, ended.stderr

    def start_worker(self) -> None:
        """Start a worker, which ends when the queue is empty."""
        words = [UMD, "challenge", "work", "--until-empty", "--lease", str(LEASE_SECONDS)]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(words, env=self.variables, stdout=log, stderr=log)
        self.workers.append(worker)

    def work(self, seconds: float = 600.0, workers: int = 1) -> None:
        """Let workers do all that waits."""
        for _ in range(workers):
            self.start_worker()
        for worker in self.workers[-workers:]:
            assert worker.wait(timeout=seconds) == 0, self.log.read_text()[-3000:]

    def attempts(self) -> list[int]:
        """The processes of attempts at submissions of this challenge."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if (
                    b"evaluator.challenges.attempt" in words
                    and os.fsencode(str(self.folder.path)) in words
                ):
                    found.append(int(path.parent.name))
        return found

    def kill(self, what: str) -> bool:
        """Kill a worker, the process of an attempt, or both; whether something was killed."""
        attempts, killed = self.attempts(), False
        if what in ("attempt", "both"):
            for attempt in attempts:
                with suppress(ProcessLookupError):
                    os.killpg(attempt, signal.SIGKILL)
                    killed = True
        if what in ("worker", "both"):
            alive = [worker for worker in self.workers if worker.poll() is None]
            for worker in alive[:1] if what == "worker" else alive:
                worker.kill()
                worker.wait()
                killed = True
        return killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of the submissions of a challenge."""

    #: team -> state, and for a result its totals, scores and counts of predictions
    teams: dict[str, Any]
    #: what is wrong
    faults: list[str]
    host_faults: int


def ending_of(site: Site) -> Ending:
    """Read the folder, the log and the database of a challenge that has no work left."""
    faults, teams = [], {}
    listed = site.umd("status", "--json")
    states = {row["id"]: row["state"] for row in map(json.loads, listed.stdout.splitlines())}
    events = list(site.folder.log.events())
    for submission in all_submissions(site.folder):
        record = submission.record()
        state = states.pop(submission.id, "not in the database")
        ends = [
            event.event
            for event in events
            if event.submission == submission.id and event.event in ("scored", "failed")
        ]
        if ends != [state]:
            faults.append(f"{record.team}: it is {state}, and the log tells of {ends}")
        results = submission.results()
        if len(results) != (state == "scored"):
            faults.append(f"{record.team}: it is {state} and has {len(results)} results")
        teams[record.team] = (state, *(_content(path) for path in results[-1:]))
    faults += [f"{name} is in the database only" for name in states]
    verification = verify_challenge(site.folder)
    if not verification.is_intact:
        faults.append(f"{verification.chain.reason} {verification.problems}")
    faults += [f"an attempt still runs: {process}" for process in site.attempts()]
    faults += [f"left in incoming/: {path.name}" for path in site.folder.incoming.glob("*")]
    count = sum(event.event == "host fault" for event in events)
    return Ending(teams=teams, faults=faults, host_faults=count)


def _content(path: Path) -> Any:
    result = read_typed(ChallengeResult, path)
    scores = sorted(
        (s.subject, s.modality, s.target, s.metric, s.round, s.value, s.status, s.counted)
        for s in result.scores
    )
    totals = sorted((t.metric, t.modality, t.value, t.subjects) for t in result.totals)
    return {"totals": totals, "scores": scores, "predictions": dict(result.predictions)}


def disturb(
    site: Site,
    kills: int,
    seed: int,
    between: dict[int, Any] | None = None,
    pauses: tuple[float, float] = PAUSES,
    workers: int = 2,
    seconds: float = 600.0,
) -> int:
    """Let workers work and kill them at random moments; then let them finish.

    Args:
        site: the challenge, whose submissions wait.
        kills: how many times something is killed.
        seed: of the moments.
        between: number of a kill -> what is done after it.
        pauses: between two kills, seconds: the shortest and the longest.
        workers: how many work at the same time.
        seconds: that they may take after the last kill.

    Returns:
        how often something was killed.
    """
    chance, done = random.Random(seed), 0
    while done < kills:
        while len([worker for worker in site.workers if worker.poll() is None]) < workers:
            site.start_worker()
        time.sleep(chance.uniform(*pauses))
        what = chance.choice(("worker", "attempt", "both"))
        if not site.kill(what):
            if not _is_open(site):
                break
            continue
        done += 1
        if between and done in between:
            between[done]()
    while _is_open(site):
        site.work(seconds, workers)
    for worker in site.workers:
        worker.wait(timeout=60)
    return done


def _is_open(site: Site) -> bool:
    ended = site.umd("status", "--json")
    states = [json.loads(line)["state"] for line in ended.stdout.splitlines()]
    return ended.returncode != 0 or any(s not in ("scored", "failed") for s in states)


class SmallDisk:
    """A file system of a few MiB at a folder, which can be filled. Needs root."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self._filler = folder, folder / "filler"
        options = f"size={mebibytes}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)

    def fill(self) -> None:
        """Take all that is free."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        with suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"x")

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file system."""
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


def images_of(engine: str, submissions: int) -> dict[str, str]:
    """Team -> what it hands in: a model's name, or the reference of its image, which is built."""
    from evaluator.zoo import ensure_image, find_model

    sources = list(MODELS)
    if engine != "local":
        sources = [ensure_image(find_model(name)).reference for name in MODELS]
    return {f"team-{n}": sources[n % len(sources)] for n in range(submissions)}


def containers() -> set[str]:
    """The containers of runs, of all processes of this machine."""
    ended = subprocess.run(
        ["docker", "ps", "-aq", "--no-trunc", "--filter", "label=umd.run", "--format",
         "{{.ID}} {{.Label \"umd.run\"}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(ended.stdout.splitlines())


def main() -> int:
    """Compare a disturbed challenge with an undisturbed one; 1 if they differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="docker")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--submissions", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="fill the disk once (root)")
    options = parser.parse_args()
    models = images_of(options.engine, options.submissions)
    server = PostgresServer.in_new_folder() if options.database == "postgresql" else None
    disk = SmallDisk(options.folder / "disk", 64) if options.full else None
    try:
        started = time.monotonic()
        quiet = Site.create(options.folder / "quiet", options.engine)
        quiet.submit(models)
        quiet.work()
        expected = ending_of(quiet)
        if not any(content[0] == "scored" for content in expected.teams.values()):
            expected.faults.append("nothing was scored, so this shows nothing")
        print(f"undisturbed: {time.monotonic() - started:.0f} s", *expected.faults, sep="\n")
        started = time.monotonic()
        url = server.create("disturbed") if server else ""
        place = disk.folder if disk else options.folder
        site = Site.create(place / "disturbed", options.engine, url, quiet.folder.salt)
        site.submit(models)
        between: dict[int, Any] = {}
        if server:
            between[options.kills // 2] = lambda: (server.stop(), time.sleep(4), server.start())
        if disk:
            between[options.kills // 3] = lambda: (disk.fill(), time.sleep(12), disk.free())
        killed = disturb(site, options.kills, options.seed, between)
        found = ending_of(site)
        faults = list(found.faults)
        for team, content in expected.teams.items():
            if found.teams.get(team) != content:
                faults.append(f"{team} differs: {content} {found.teams.get(team)}")
        prefixes = tuple(site.folder.ids())
        left = [line for line in containers() if line.partition(" ")[2].startswith(prefixes)]
        faults += [f"a container is left: {line}" for line in left]
        states = Counter(content[0] for content in found.teams.values())
        print(f"disturbed: {time.monotonic() - started:.0f} s, {killed} kills, "
              f"{found.host_faults} faults of the host, {dict(states)}")  # fmt: skip
        print(*(faults or ["equal"]), sep="\n")
        return 1 if faults or expected.faults else 0
    finally:
        for closed in (server, disk):
            if closed:
                closed.close()


if __name__ == "__main__":
    sys.exit(main())
