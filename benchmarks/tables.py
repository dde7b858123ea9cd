"""Tables that the benchmarks write into the docs, each between two marks; and the machine."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]


def machine() -> str:
    """Date, cores and load: timings of a busy machine are noisy."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"{date}, {cores} cores of {platform.machine()}, load {load:.1f} at the start"


def command() -> str:
    """The command that makes the table."""
    return shlex.join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, text: str, page: Path = ROOT / "docs/benchmarks.md") -> None:
    """Replace the text between the page's marks of this name."""
    body = page.read_text(encoding="utf-8")
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
    replacement = f"{marks[0]}\n{text}\n{marks[1]}"
    body, count = re.subn(pattern, lambda _: replacement, body, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page} has no place for {name}")
    page.write_text(body, encoding="utf-8")
