"""Run each attack in a run of its own and write ``docs/hostile-containers.md``.

``python -m tests.docker.hostile.table [-o FILE] [--runtime NAME] [ATTACK...]``. A runtime other than
the engine's usual one is that of an engine which has it as its default (``DOCKER_HOST``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from evaluator import paths
from evaluator.containers import model_limits
from evaluator.containers.engines.docker import DockerEngine
from tests.docker.hostile.expected import EXPECTED
from tests.docker.hostile.zoo import MEMORY, OUTPUT_LIMIT, TIMEOUT, add_adversary, run_attacks
from tests.tiny import make_project

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "hostile-containers.md"
#: disk that other programs may take meanwhile, bytes
DISK_NOISE = 2**30


def main() -> int:
    """Run the attacks; returns 1 if one did harm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("attacks", nargs="*")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--runtime")
    options = parser.parse_args()
    model_limits.OUTPUT_LIMIT = OUTPUT_LIMIT
    engine = DockerEngine.connect()
    runtime = engine.client.info()["DefaultRuntime"]
    if options.runtime and options.runtime != runtime:
        parser.error(f"the engine's default runtime is {runtime}; set DOCKER_HOST to another one")
    rows, harmful = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_CACHE"] = str(paths.cache())
        add_adversary(make_project(folder / "project", {}))
        os.environ["UMD_PROJECT"] = str(folder / "project")
        for attack in options.attacks or EXPECTED:
            os.environ["UMD_RUNS"] = str(folder / attack / "runs")
            (folder / attack).mkdir()
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
            outcomes, changes = run_attacks([attack], folder / attack, engine, paths.cache())
            if os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize < free - DISK_NOISE:
                changes.append("disk: more than 1 GiB is gone")
            (outcome,) = outcomes
            bad = [*outcome.leaks, *outcome.faults, *changes]
            harmful += bool(bad)
            print(attack, outcome.status, f"{outcome.seconds:.1f}", outcome.detail[:150], *bad,
                  sep=" | ", flush=True)  # fmt: skip
            rows.append(
                f"| `{attack}` | {EXPECTED[attack].what} | {outcome.status} | "
                f"{'**yes**' if outcome.leaks else 'no'} | "
                f"{'yes' if not changes else '**no**'} | "
                f"{'yes' if not outcome.faults else '**no**: ' + '; '.join(outcome.faults)} | "
                f"{outcome.seconds:.1f} |"
            )
    if options.output:
        write_page(options.output, runtime, engine, rows, harmful)
    return 1 if harmful else 0


def write_page(page: Path, runtime: str, engine: DockerEngine, rows: list[str], bad: int) -> None:
    """Replace the table of a runtime in the page."""
    version = engine.client.version()["Version"]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.strip()  # fmt: skip
    day = datetime.now(UTC).date()
    begin, end = f"<!-- {runtime} -->", f"<!-- /{runtime} -->"
    head = [
        f"{len(rows)} attacks, {len(rows) - bad} without harm. Docker {version}, runtime {runtime}, "
        f"commit {commit}, {day}. Limits: {TIMEOUT:g} s for a request, {MEMORY} of memory, "
        f"{OUTPUT_LIMIT // 2**20} MiB for `/output`.",
        "",
        "| attack | what it does | status | leaked | host unharmed | as expected | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text("\n".join([before + begin, *head, *rows, end + after]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
