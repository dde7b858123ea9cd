"""What evaluators that were killed have left on this machine: containers and workspaces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.containers.workspace import remove_abandoned

if TYPE_CHECKING:
    from evaluator.containers.engines import Engine

logger = logging.getLogger(__name__)


def remove_leftovers(engine: Engine, run_id: str) -> list[str]:
    """Remove containers, then workspaces, whose evaluator on this machine is gone.

    A container may still write into its workspace, so it goes first. What belongs to a process
    that lives, or to another machine, stays.

    Args:
        engine: whose containers are removed.
        run_id: of the run that begins.

    Returns:
        Names of the containers and paths of the folders.
    """
    removed = [*engine.sweep(run_id), *map(str, remove_abandoned())]
    for name in removed:
        logger.info("removed %s, left by an evaluator that was killed", name)
    return removed
