"""Run a model over a dataset under a protocol: the way from names to a run folder with its scores."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from evaluator.containers.engines import open_engine
from evaluator.containers.gpus import choose_gpus, find_gpus, lease
from evaluator.containers.workspace import workspace_of
from evaluator.datasets import load_dataset
from evaluator.datasets.load import choose_cases
from evaluator.evaluation.model_connection import reach
from evaluator.evaluation.plan import Plan, choose_options
from evaluator.evaluation.prompt_cache import replay_hash
from evaluator.evaluation.provenance import provenance
from evaluator.evaluation.record_writer import RunContext
from evaluator.evaluation.reproducibility_check import recheck
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.scan_task import talk_about, talk_about_case
from evaluator.evaluation.task_scheduler import Shared
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.store import create_run, open_run
from evaluator.runs.tables import gather
from evaluator.scoring.applicability import check_metrics
from evaluator.volumes import MaskValidator
from evaluator.zoo import ImageBuildConfig, find_model
from evaluator.zoo.bundles import Fetch
from evaluator.zoo.cards import read_wordings
from evaluator.zoo.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.model_connection import ModelConnection
    from evaluator.evaluation.task_scheduler import Talk
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


def run_model(order: RunConfig, *, progress: Callable[[int, int, str], None]) -> RunStore:
    """Do the order, or what is left of it; returns the run, scored, with its tables written.

    ``progress`` is told (scans ended, scans in all, how the last one ended). Raises UserError for what the user can mend.
    A HostError stops the run; the scans that were done are kept, and the same order goes on from there.
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
        logger.info(
            f"engine {engine.name} isolates nothing: the model runs as you, and can read what you can read"
        )
    options = choose_options(zoo_model.card, order.options)
    gpus = choose_gpus(find_gpus(), order.gpus, zoo_model.card)
    how = ImageBuildConfig(fetch=Fetch(accepted=order.accepted))
    ready = prepare(zoo_model, engine, weights=order.weights, order=how)
    plan = Plan(
        card=ready.model.card,
        digest=ready.model.digest,
        dataset=dataset,
        protocol=protocol,
        replay=(replay.name, replay_hash(replay)) if replay else None,
        weights=ready.identity,
        options=options,
    )
    about = (
        {"identity": plan.identity}
        | provenance(plan, order, engine, gpus, ready)
        | {"salt": secrets.token_hex(16)}
    )
    run = create_run(order.name or plan.run_name, about)
    with run.writing(), ExitStack() as stack:
        engine.sweep(run.name)  # a killed run's container may still write into the workspace
        workspace, gate = (
            stack.enter_context(workspace_of(str(run.path))),
            stack.enter_context(MaskValidator()),
        )
        room = RunContext(
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
        )
        _converse(room, cases, access, gpus, order.scans_a_batch)
        gather(run)
        if order.recheck:
            with leased(gpus[0] if gpus else None, run.name) as uuid:
                recheck(room, cases, access, sample=order.recheck, gpu=uuid)
    return run


def _converse(
    room: RunContext,
    cases: Sequence[Case],
    access: ModelConnection,
    gpus: Sequence[Gpu],
    scans_a_batch: int,
) -> None:
    """Hold all conversations of the run, on each GPU a share of them."""
    talks = Shared(_talks(room, cases))
    share = -(-sum(len(case.scans) for case in cases) // max(len(gpus), 1))
    at_once = min(scans_a_batch, share)

    def work(gpu: Gpu | None) -> None:
        with leased(gpu, room.run.name) as uuid:
            access.answer_all(
                talks, room.workspace, gpu=uuid, session=access.session, at_once=at_once
            )

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


def _count(
    total: int, progress: Callable[[int, int, str], None]
) -> Callable[[str, Modality, str], None]:
    ended = count(1)
    return lambda case, modality, how: progress(next(ended), total, f"{case} {modality}: {how}")


def _talks(room: RunContext, cases: Sequence[Case]) -> Iterator[Talk]:
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
