"""Which containers belong to an evaluator on this machine that is gone, by their labels."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from evaluator.containers.engines.guard import start_of
from evaluator.containers.engines.spec import HOST_LABEL, PID_LABEL, RUN_LABEL, STARTED_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

#: a container of another run whose evaluator is gone has so long to end by itself
ORPHAN_SECONDS = 60.0


def is_orphan(labels: Mapping[str, str]) -> bool:
    """Whether the evaluator that a container's labels name, on this machine, is gone."""
    pid = labels.get(PID_LABEL, "0")
    started = start_of(int(pid)) if pid.isdigit() else ""
    # a later process may have got the number of one that is gone
    alive = started != "" and labels.get(STARTED_LABEL, started) == started
    return labels.get(HOST_LABEL) == os.uname().nodename and not alive


def is_removable(labels: Mapping[str, str], created: float | None, run_id: str) -> bool:
    """Whether a run that begins removes a container: an orphan of this run, or an older one.

    Args:
        labels: of the container.
        created: when it was created, in seconds since 1970; None if the engine does not tell, and
            the container then counts as new.
        run_id: of the run that begins.
    """
    if not is_orphan(labels):
        return False
    is_old = created is not None and time.time() - created > ORPHAN_SECONDS
    return labels.get(RUN_LABEL) == run_id or is_old
