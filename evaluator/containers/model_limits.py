"""The limits of a model's container: what its card asks for, within the machine and this policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.containers.engines.spec import SHM_BYTES, Limits

if TYPE_CHECKING:
    from evaluator.containers.engines.spec import Capacity
    from evaluator.types import ModelCard

#: the longest time for one request that a card may ask for, seconds; a user may ask for more
MOST_SECONDS = 3600.0
#: until a session is ready: at least, at most; between them, the time for one request
LEAST_STARTUP, MOST_STARTUP = 120.0, 600.0
#: with more bytes in its output folder at once, a container is stopped
OUTPUT_LIMIT = 8 * 2**30


def choose_limits(
    card: ModelCard, timeout: float | None, capacity: Capacity
) -> tuple[Limits, tuple[str, ...]]:
    """The limits of a model, and a sentence for each wish of its card that was not granted.

    Args:
        card: what the model asks for.
        timeout: seconds for one request, from the user; None: the card's.
        capacity: of the machine that runs the containers.
    """
    capped: list[str] = []

    def cap(what: str, asked: float, most: float, unit: str, divisor: float = 1.0) -> float:
        if asked > most:
            capped.append(
                f"the card asks for {asked / divisor:.6g} {unit} of {what}; "
                f"{most / divisor:.6g} {unit} are given"
            )
        return min(asked, most)

    most_memory = capacity.memory * 9 // 10
    memory = int(cap("memory", card.memory or most_memory, most_memory, "GiB", 2**30))
    shm = int(cap("shared memory", card.shm or SHM_BYTES, max(memory, SHM_BYTES), "GiB", 2**30))
    seconds = timeout or cap("time for a request", card.timeout, MOST_SECONDS, "s")
    limits = Limits(
        timeout=seconds,
        memory=memory,
        shm=shm,
        output_bytes=OUTPUT_LIMIT,
        cpus=float(max(capacity.cores - 1, 1)) if capacity.limits_cores else None,
        startup=min(max(seconds, LEAST_STARTUP), MOST_STARTUP),
    )
    return limits, tuple(capped)
