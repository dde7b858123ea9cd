"""The process that computes the limits of cases while a model answers: a case id on each line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from evaluator.errors import UserError
from evaluator.limits.run_limits import RunLimits
from evaluator.runs.store import RunStore

#: the evaluator's processes that the model waits for come first
NICENESS = 10


def main() -> None:
    """Complete the limits of each case that standard input names, until it is closed."""
    os.nice(NICENESS)
    limits = RunLimits(RunStore(Path(sys.argv[1])))
    for line in sys.stdin:
        # what is missing is computed, or told, when the run ends
        with suppress(UserError):
            limits.complete([line.rstrip("\n")])


if __name__ == "__main__":
    main()
