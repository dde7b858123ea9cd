"""Run every attack, print what came of it, and write it into docs/security.md.

``python -m tests.docker.hostile.table [--write] [ATTACK...]``. The runtime is the engine's default
one; another one is that of an engine of its own (``DOCKER_HOST``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers import model_limits
from evaluator.containers.engines.docker import DockerEngine
from tests.docker.hostile.expected import EXPECTED
from tests.docker.hostile.zoo import (
    MEMORY,
    OUTPUT_LIMIT,
    PATIENCE,
    TIMEOUT,
    Outcome,
    add_adversary,
    run_attacks,
    timeout_of,
)
from tests.tiny import make_project

if TYPE_CHECKING:
    from collections.abc import Iterator

#: attacks of one run
GROUP = 8
PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def main() -> int:
    """Run the attacks; returns 1 if one did harm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("attacks", nargs="*")
    parser.add_argument("--write", action="store_true", help="write the table into the page")
    options = parser.parse_args()
    model_limits.OUTPUT_LIMIT = OUTPUT_LIMIT
    engine = DockerEngine.connect()
    rows, harmful = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["UMD_CACHE"] = str(paths.cache())
        add_adversary(make_project(folder / "project", {}))
        os.environ["UMD_PROJECT"] = str(folder / "project")
        attacks = options.attacks or list(EXPECTED)
        for outcome, changes in _run_all(attacks, folder, engine):
            bad = [*outcome.leaks, *outcome.faults, *changes]
            harmful += bool(bad)
            seen = (outcome.attack, outcome.status, f"{outcome.seconds:.1f}", outcome.detail[:150])
            print(*seen, outcome.shown, *bad, sep=" | ", flush=True)
            rows.append(_row(outcome, changes))
    if options.write:
        write_page(engine, rows)
    return 1 if harmful else 0


def _run_all(
    attacks: list[str], folder: Path, engine: DockerEngine
) -> Iterator[tuple[Outcome, list[str]]]:
    """Run attacks in groups; those of a group with a fault are run again, each alone."""
    patient = [name for name in attacks if timeout_of([name]) > TIMEOUT]
    hasty = [name for name in attacks if name not in patient]
    groups = [part[n : n + GROUP] for part in (hasty, patient) for n in range(0, len(part), GROUP)]
    for place, group in enumerate(groups):
        outcomes, changes = _run(group, folder / f"group-{place}", engine)
        if not changes and all(outcome.held for outcome in outcomes):
            yield from ((outcome, changes) for outcome in outcomes)
            continue
        for attack in group:
            (outcome,), changes = _run([attack], folder / attack, engine)
            yield outcome, changes


def _run(attacks: list[str], folder: Path, engine: DockerEngine) -> tuple[list[Outcome], list[str]]:
    folder.mkdir()
    os.environ["UMD_RUNS"] = str(folder / "runs")
    return run_attacks(attacks, folder, engine, paths.cache())


def _row(outcome: Outcome, changes: list[str]) -> str:
    expected = EXPECTED[outcome.attack]
    faults = "; ".join(outcome.faults)
    cells = (
        f"`{outcome.attack}`",
        expected.what + (f" ({outcome.shown})" if outcome.shown else ""),
        outcome.status + (f" (**{faults}**)" if faults else ""),
        "**yes**" if outcome.leaks else "no",
        "**no**" if changes else "yes",
        f"{outcome.seconds:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def write_page(engine: DockerEngine, rows: list[str]) -> None:
    """Replace rows in the table of a runtime in the page; those of other attacks stay."""
    runtime = engine.client.info()["DefaultRuntime"]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"<!-- {runtime} -->")
    table, end, after = rest.partition(f"<!-- /{runtime} -->")
    merged = {_attack(row): row for row in [*table.splitlines(), *rows] if row.startswith("| `")}
    rows = [merged[attack] for attack in EXPECTED if attack in merged]
    harmless = sum("**" not in row for row in rows)
    version, system = engine.client.version()["Version"], os.uname().release.partition("-")[0]
    limits = f"Limits: {TIMEOUT:g} or {PATIENCE:g} s for a request, {MEMORY} of memory, "
    limits += f"{OUTPUT_LIMIT // 2**20} MiB for `/output`."
    head = [
        f"{before}<!-- {runtime} -->",
        f"\n{len(rows)} attacks, {harmless} without harm and as expected.",
        f"Docker {version}, runtime {runtime}, Linux {system}, {datetime.now(UTC).date()}.",
        f"{limits}\n",
        "| attack | what it does | status | leaked | host unharmed | seconds |",
        "|---|---|---|---|---|---|",
    ]
    PAGE.write_text("\n".join([*head, *rows, "", end + after]), encoding="utf-8")


def _attack(row: str) -> str:
    return row.split("`")[1]


if __name__ == "__main__":
    sys.exit(main())
