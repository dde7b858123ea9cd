"""The part that conventions without reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_sdk.wire import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.containers.requests import StagedRequest


class WithoutReports:
    """A convention in which a model writes masks and reports nothing else."""

    #: a request may hold many targets
    single_target: bool = False

    def read_reply(self, request: StagedRequest, output: Path) -> Reply:  # noqa: ARG002
        """An empty reply."""
        return Reply()
