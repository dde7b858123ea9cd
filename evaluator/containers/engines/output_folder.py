"""The folders that a container writes into, opened for its user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evaluator.containers.engines.spec import NATIVE_LAYOUT

if TYPE_CHECKING:
    from evaluator.containers.engines.spec import Caller, ContainerLayout, Workspace


def open_output(
    workspace: Workspace, caller: Caller, layout: ContainerLayout = NATIVE_LAYOUT
) -> None:
    """Let the container's user write into the output folder, and into the cache if it has one."""
    if layout.image_user:
        # the image's user may be another one, and without capabilities root overrides no modes
        for folder in filter(None, (workspace.output, workspace.cache)):
            folder.chmod(0o777)
    elif caller.uid == 0:
        os.chown(workspace.output, *caller.container_user)
