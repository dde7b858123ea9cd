"""Publish the leaderboard, in a process that is not the portal's: figures take seconds.

python -m evaluator.portal.publication FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.challenges.leaderboard import write_leaderboard
from evaluator.challenges.opening import open_challenge
from evaluator.errors import HostError
from evaluator.portal.processes import run_module

if TYPE_CHECKING:
    from evaluator.challenges.opening import OpenChallenge


def published_folder(challenge: OpenChallenge) -> Path:
    """The folder of the leaderboard that everybody sees."""
    return challenge.folder.path / "leaderboard"


class Publisher:
    """Publishes the leaderboard, one at a time."""

    def __init__(self, challenge: OpenChallenge) -> None:
        self._challenge = challenge
        self._free = asyncio.Lock()

    async def publish(self) -> None:
        """Write what the public may see.

        Raises:
            HostError: the process failed; it has printed why.
        """
        async with self._free:
            folder = str(self._challenge.folder.path)
            status = await run_module("evaluator.portal.publication", [folder], self._challenge)
        if status != 0:
            raise HostError(f"the leaderboard was not written: exit status {status}")


def main() -> None:
    """Write the leaderboard of the challenge that the argument names."""
    challenge = open_challenge(Path(sys.argv[1]))
    try:
        write_leaderboard(challenge, published_folder(challenge))
    finally:
        challenge.close()


if __name__ == "__main__":
    main()
