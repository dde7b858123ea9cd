"""How many sessions of a model share one GPU."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from evaluator.containers.gpus import ROUNDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.containers.gpus import Gpu
    from evaluator.types import ModelCard

logger = logging.getLogger(__name__)

#: sessions of one GPU that are chosen automatically, at most; more gain little
MOST = 8


def plan_sessions(
    gpus: Sequence[Gpu],
    card: ModelCard,
    wish: int | Literal["auto"],
    *,
    cores: int,
    memory: int,
) -> tuple[int, ...]:
    """The number of sessions for each GPU.

    ``auto`` takes as many as the GPU's memory holds by the card, at most ``MOST``. All sessions
    together get no more than one for each core, as each is fed by the evaluator, and no more than
    the machine's memory holds. A GPU always has one. A number is taken as it is, and a warning
    says where the memory may be too small.

    Args:
        gpus: the GPUs or MIG slices of the run.
        card: what one session needs.
        wish: sessions on each GPU.
        cores: of the machine.
        memory: of the machine, bytes.
    """
    if wish != "auto":
        for gpu in gpus:
            _warn_if_small(gpu, card, wish)
        return (wish,) * len(gpus)
    if not card.gpu_memory and gpus:
        logger.warning(
            "--per-gpu auto: the card of model %s does not say how much GPU memory it needs, so "
            "each GPU gets one session", card.name,
        )  # fmt: skip
        return (1,) * len(gpus)
    most = cores
    if card.memory:
        most = min(most, memory // card.memory)
    sessions = [1] * len(gpus)
    # one more for each GPU in turn, so that no GPU gets all that cores and memory allow
    for number in range(2, MOST + 1):
        for index, gpu in enumerate(gpus):
            fits = gpu.memory * ROUNDED >= number * (card.gpu_memory or 0)
            if fits and sessions[index] == number - 1 and sum(sessions) < most:
                sessions[index] = number
    return tuple(sessions)


def _warn_if_small(gpu: Gpu, card: ModelCard, sessions: int) -> None:
    needed = sessions * (card.gpu_memory or 0)
    if sessions > 1 and gpu.memory and needed > gpu.memory:
        logger.warning(
            "GPU %s (%s) has %.1f GiB; %d sessions of model %s need %.1f GiB by its card and may "
            "run out of memory",
            gpu.label, gpu.name, gpu.memory / 2**30, sessions, card.name, needed / 2**30,
        )  # fmt: skip
