"""Run a model over a dataset under a protocol: the way from names to a run folder with its scores."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.applicable import check_metrics
from evaluator.build import ImageOrder, find_model
from evaluator.build.bundles import Fetch
from evaluator.datasets import load_dataset
from evaluator.engines import open_engine
from evaluator.errors import UnknownName
from evaluator.execute.access import SCANS_A_BATCH, reach
from evaluator.execute.drive import Shared
from evaluator.execute.prompting import replay_hash
from evaluator.execute.provenance import provenance
from evaluator.execute.recheck import recheck
from evaluator.execute.records import Room
from evaluator.execute.scan import talk_about, talk_about_case
from evaluator.execute.workspace import workspace_of
from evaluator.gpus import choose_gpus, find_gpus, lease
from evaluator.manifests.protocols import load_protocol
from evaluator.plan import Plan, choose_options
from evaluator.prepare import prepare
from evaluator.store import create_run, open_run
from evaluator.tables import gather
from evaluator.volumes import MaskGate
from evaluator.wordings import read_wordings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.execute.access import Access
    from evaluator.execute.drive import Talk
    from evaluator.gpus import Gpu
    from evaluator.store import RunStore
    from evaluator.types import Case, Dataset, Modality

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
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


def run_model(order: Order, *, say: Say, progress: Callable[[int, int, str], None]) -> RunStore:
    """Do the order, or what is left of it; returns the run, scored, with its tables written.

    ``progress`` is told (scans ended, scans in all, how the last one ended). Raises UserError for what the user can mend.
    A HostFault stops the run; the scans that were done are kept, and the same order goes on from there.
    """
    zoo_model = find_model(order.model)
    dataset = load_dataset(order.dataset, order.data_root)
    protocol = load_protocol(order.protocol)
    check_metrics(protocol.metrics)
    read_wordings(zoo_model.card)
    cases = choose_cases(dataset, order.cases)
    replay = open_run(order.prompts) if order.prompts else None
    engine = open_engine(order.engine)
    if not engine.isolates:
        say(f"engine {engine.name} isolates nothing: the model runs as you, and can read what you can read")
    options = choose_options(zoo_model.card, order.options)
    gpus = choose_gpus(find_gpus(), order.gpus, zoo_model.card, say)
    how = ImageOrder(fetch=Fetch(accepted=order.accepted, say=say))
    ready = prepare(zoo_model, engine, say, weights=order.weights, order=how)
    plan = Plan(
        card=ready.model.card,
        digest=ready.model.digest,
        dataset=dataset,
        protocol=protocol,
        replay=(replay.name, replay_hash(replay)) if replay else None,
        weights=ready.identity,
        options=options,
    )
    about = {"identity": plan.identity} | provenance(plan, order, engine, gpus, ready) | {"salt": secrets.token_hex(16)}
    run = create_run(order.name or plan.run_name, about)
    with run.writing(), ExitStack() as stack:
        engine.sweep(run.name)  # a killed run's container may still write into the workspace
        workspace, gate = stack.enter_context(workspace_of(str(run.path))), stack.enter_context(MaskGate())
        room = Room(
            plan=plan,
            run=run,
            workspace=workspace,
            gate=gate,
            salt=run.about()["salt"],
            replay=replay,
            progress=_count(sum(len(case.scans) for case in cases), progress),
        )
        access = reach(
            engine,
            ready.model,
            protocol.rounds,
            run_id=run.name,
            log=run.path / "model.log",
            timeout=order.timeout,
            threads=order.threads,
            batch=order.batch,
            say=say,
        )
        _converse(room, cases, access, gpus, order.scans_a_batch)
        gather(run)
        if order.recheck:
            with leased(gpus[0] if gpus else None, run.name) as uuid:
                recheck(room, cases, access, sample=order.recheck, gpu=uuid, say=say)
    return run


def choose_cases(dataset: Dataset, wanted: Sequence[str]) -> list[Case]:
    """The dataset's cases whose id or subject is among those wanted (shell patterns); all, if none is named."""
    from fnmatch import fnmatchcase

    if not wanted:
        return list(dataset.cases)
    chosen = [
        case
        for case in dataset.cases
        if any(fnmatchcase(case.id, pattern) or fnmatchcase(case.subject, pattern) for pattern in wanted)
    ]
    if not chosen:
        raise UnknownName("case", ", ".join(wanted), [case.id for case in dataset.cases])
    return chosen


def _converse(room: Room, cases: Sequence[Case], access: Access, gpus: Sequence[Gpu], scans_a_batch: int) -> None:
    """Hold all conversations of the run, on each GPU a share of them."""
    talks = Shared(_talks(room, cases))
    share = -(-sum(len(case.scans) for case in cases) // max(len(gpus), 1))
    at_once = min(scans_a_batch, share)

    def work(gpu: Gpu | None) -> None:
        with leased(gpu, room.run.name) as uuid:
            access.answer_all(talks, room.workspace, gpu=uuid, session=access.session, at_once=at_once)

    if len(gpus) < 2:
        work(gpus[0] if gpus else None)
        return
    with ThreadPoolExecutor(max_workers=len(gpus), thread_name_prefix="gpu") as pool:
        for future in [pool.submit(work, gpu) for gpu in gpus]:
            future.result()


@contextmanager
def leased(gpu: Gpu | None, run: str) -> Iterator[str | None]:
    """The GPU's UUID, held for this run; None where there is none."""
    if gpu is None:
        yield None
        return
    with lease(gpu.uuid, run):
        yield gpu.uuid


def _count(total: int, progress: Callable[[int, int, str], None]) -> Callable[[str, Modality, str], None]:
    ended = count(1)
    return lambda case, modality, how: progress(next(ended), total, f"{case} {modality}: {how}")


def _talks(room: Room, cases: Sequence[Case]) -> Iterator[Talk]:
    """A conversation for each scan; for each case, where its scans replay the clicks of one of them."""
    number = 0
    for case in cases:
        modalities: list[Modality] = sorted(case.scans)
        if room.plan.protocol.rounds.clicks == "shared":
            yield talk_about_case(room, case, number)
        else:
            for n, modality in enumerate(modalities):
                yield talk_about(room, case, modality, number + n)
        number += len(modalities)
