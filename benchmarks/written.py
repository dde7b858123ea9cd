"""Put a benchmark's lines into docs/benchmarks.md, between the two marks that bear its name, with where they were made."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def write(name: str, lines: list[str], *, page: Path = PAGE) -> None:
    """Print the lines, and let them stand in the page in the place of those of the last time."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{page} lacks the marks {begin} and {end}, each once")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    body = "\n".join([made(name), "", *lines])
    page.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")
    print(body)


def made(name: str) -> str:
    """When, by which command, on what; how busy the machine was is part of it."""
    day = datetime.now(UTC).date().isoformat()
    command = shlex.join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    told = f"`make {name}` (`{command}`), {day}, {os.cpu_count()} cores ({processor()})"
    return f"{told}, load {os.getloadavg()[2]:.1f} over the last 15 minutes."


def processor() -> str:
    """The processor's own name, if the system tells it."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
