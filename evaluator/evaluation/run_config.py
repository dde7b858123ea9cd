"""What the user wants: one model over one dataset under one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluator.errors import UserError
from evaluator.evaluation.model_connection import SCANS_PER_BATCH
from evaluator.files import require_utf8
from evaluator.runs.shards import Shard

#: scans that are predicted again unless the user says how many
RECHECK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What the user wants, by name."""

    model: str
    dataset: str
    protocol: str = "paper"
    engine: str = "auto"
    #: program that starts the model's containers, such as runsc; None: the engine's default
    runtime: str | None = None
    #: indices of the GPUs to use; None: all of them, if the model can use one
    gpus: tuple[int | str, ...] | None = None
    #: sessions on each GPU; "auto": as many as its memory holds by the model's card
    per_gpu: int | Literal["auto"] = 1
    #: name of the run; None: derived from model, dataset, protocol and settings
    name: str | None = None
    #: run whose prompts (and shared clicks) are replayed
    prompts: str | None = None
    #: ids or subjects of the cases, or patterns of them; empty: all
    cases: tuple[str, ...] = ()
    #: only the first so many subjects of these; None: all
    limit: int | None = None
    #: seed of a random order of the cases; None: the dataset's order
    shuffle: int | None = None
    #: do only this part of the cases; subjects stay together (see ``parse_shard``)
    shard: Shard | None = None
    data_root: Path | None = None
    #: seconds for one request, instead of the card's
    timeout: float | None = None
    #: use batches even where the model can stay alive
    batch: bool = False
    #: scans that go to one container of a batch
    scans_per_batch: int = SCANS_PER_BATCH
    #: scans that are read, corrected and scored at once while the model works; None: by the cores
    threads: int | None = None
    #: scans that are predicted again at the end, to check that results do not depend on their order
    recheck: int = RECHECK
    #: hash all files anew, also those whose size and times are those of an earlier call
    rehash: bool = False
    #: "published", "random", "random:full", or a folder with the weights
    weights: str = "published"
    #: the model's options, each as name=value
    options: tuple[str, ...] = ()
    #: run in spite of errors in the data; the run tells of it for ever
    force: bool = False
    #: simulate prompts on each image's own reference, where images are not registered
    unregistered: bool = False
    #: licences that the user accepts, where something has to be fetched
    accepted: frozenset[str] = frozenset()

    def require_text(self) -> None:
        """Raise UserError for a name or path that ``run.json`` cannot hold.

        A file name of bytes that are no UTF-8 reaches Python as text with lone surrogates, which
        no JSON file can hold. A run of such a manifest could never be scored again.
        """
        texts = {"--name": self.name or "", "-d": self.dataset, "-p": self.protocol}
        for option in ("-d", "-p"):
            if texts[option].endswith(".toml"):
                texts[option] = str(Path(texts[option]).absolute())
        texts["--data-root"] = str(self.data_root.absolute()) if self.data_root else ""
        require_utf8(texts, "the run could not record it")


def parse_shard(text: str) -> Shard:
    """The shard that ``I/N`` names, such as 2/8; raises UserError."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UserError(f"--shard {text}: write I/N with I from 1 to N, such as 1/2")
    return Shard(int(index), int(count))
