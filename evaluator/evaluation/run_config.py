"""What the user asks for: one model over one dataset under one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluator.evaluation.model_connection import SCANS_A_BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What the user asks for, by name."""

    model: str
    dataset: str
    protocol: str = "paper"
    engine: str = "auto"
    #: indices of the GPUs to use; None: all that are there, if the model can use one
    gpus: tuple[int, ...] | None = None
    #: name of the run; None: made of what goes into it
    name: str | None = None
    #: run whose prompts (and shared clicks) are replayed
    prompts: str | None = None
    #: ids of the cases to do, or patterns of them; empty: all
    cases: tuple[str, ...] = ()
    data_root: Path | None = None
    #: seconds a request may take, instead of what the model's card says
    timeout: float | None = None
    #: answer requests in batches even where the model can stay alive
    batch: bool = False
    #: where it is batches: so many scans go to one container start
    scans_a_batch: int = SCANS_A_BATCH
    #: scans that are read in, corrected and scored at once while the model works; None: by the machine's cores
    threads: int | None = None
    #: scans that are asked again when all are done, to see whether the model keeps state between cases; 0: none
    recheck: int = 2
    #: published, random, random:full, or a folder that holds the weights
    weights: str = "published"
    #: choices of the model's card, each as name=value
    options: tuple[str, ...] = ()
    #: licences that the user accepts, where something has to be fetched
    accepted: frozenset[str] = frozenset()
