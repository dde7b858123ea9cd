"""Modules of the portal that run in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.challenges.opening import OpenChallenge


async def run_module(module: str, words: Sequence[str], challenge: OpenChallenge) -> int:
    """Run a module with arguments, on the database of a challenge.

    It is ended if the caller is cancelled.

    Returns:
        its exit status.

    Raises:
        OSError: it cannot be started.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "UMD_CHALLENGE_DATABASE": challenge.database.url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, env=environment
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
