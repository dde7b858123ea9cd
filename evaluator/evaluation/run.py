"""Run a model over a dataset under a protocol: do what was resolved, or what is left of it."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evaluator.containers import StartHistory
from evaluator.containers.engines import open_engine
from evaluator.containers.leftovers import remove_leftovers
from evaluator.containers.limited_output import ENFORCED, describe_output_limit
from evaluator.containers.model_limits import choose_limits
from evaluator.containers.workspace import workspace_of
from evaluator.evaluation.claimed_tasks import claimed_evaluations
from evaluator.evaluation.data_guard import require_usable
from evaluator.evaluation.executors import LocalExecutor
from evaluator.evaluation.executors.local import leased
from evaluator.evaluation.model_connection import connect
from evaluator.evaluation.plan import rounds_of
from evaluator.evaluation.provenance import clock_warning, describe_limits, run_info
from evaluator.evaluation.reproducibility_check import check_reproducibility
from evaluator.evaluation.resolve import resolve
from evaluator.evaluation.run_context import RunContext
from evaluator.evaluation.run_process import counted, require_not_stopped, working_process
from evaluator.limits import complete_limits
from evaluator.limits.background import BackgroundLimits
from evaluator.limits.run_limits import RULES
from evaluator.locks import file_lock
from evaluator.runs.changed_files import FOLDERS
from evaluator.runs.claims import Claims, remove_claims
from evaluator.runs.damaged_files import remove_unfinished, set_aside_damaged
from evaluator.runs.finished_cases import write_finished_cases
from evaluator.runs.names import open_run
from evaluator.runs.processes import Liveness
from evaluator.runs.store import create_run, find_run
from evaluator.runs.tables import gather, tables_are_current
from evaluator.volumes import MaskValidator
from evaluator.zoo import ImageBuildConfig, find_model
from evaluator.zoo.fetching import Fetch
from evaluator.zoo.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Limits, Model
    from evaluator.evaluation.executors import Executor
    from evaluator.evaluation.model_connection import ModelConnection
    from evaluator.evaluation.plan import Plan
    from evaluator.evaluation.resolve import ResolvedRun
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.evaluation.scan_task import ScanTask
    from evaluator.runs.data_checks import DataChecks
    from evaluator.runs.processes import RunProcess
    from evaluator.runs.run_info import LimitsInfo
    from evaluator.runs.store import RunStore
    from evaluator.types import Modality

    Progress = Callable[[int, int, str], None]

logger = logging.getLogger(__name__)


def run_model(config: RunConfig, *, progress: Progress = lambda *_: None) -> RunStore:
    """Resolve and execute in one step, on this machine; see there."""
    return execute(resolve(config), progress=progress)


def execute(
    resolved: ResolvedRun,
    executor: Executor | None = None,
    *,
    progress: Progress = lambda *_: None,
) -> RunStore:
    """Do what was resolved; scans that are done already are kept.

    Several processes may each execute a shard of one run at the same time. The last one to end
    writes the tables.

    Args:
        resolved: what to do.
        executor: distributes the scans; by default over this machine's GPUs.
        progress: called with (scans ended, scans in all, how the last one ended).

    Returns:
        The run, scored; with its tables if all of its scans are done.

    Raises:
        DatasetError: the data have errors, and ``force`` is not set; nothing was done.
        UserError: something that the user can mend.
        HostError: the machine failed; finished scans are kept, and the same call resumes the run.
    """
    config, engine = resolved.config, open_engine(resolved.engine, resolved.config.runtime)
    checks = _accepted_checks(resolved)
    _warn_of_engine(resolved)
    build = ImageBuildConfig(fetch=Fetch(accepted=config.accepted))
    prepared = prepare(find_model(config.model), engine, weights=config.weights, config=build)
    plan = resolved.plan.prepared(prepared.model.card, prepared.model.digest, prepared.identity)
    name, history = config.name or plan.run_name, StartHistory()
    remove_leftovers(engine, name)
    limits, described = _limits(config, engine, prepared.model, name, history)
    info = run_info(
        plan,
        config,
        engine,
        resolved.gpus,
        prepared.hashes,
        cases=resolved.cases,
        limits=described,
        sessions_per_gpu=max(resolved.sessions, default=1),
    )
    run = create_run(name, info)
    if warning := clock_warning(run.info().started, datetime.now(UTC)):
        logger.warning(warning)
    with run.writing(config.shard), ExitStack() as stack:
        run.write_checks(checks, resolved.data.cases)
        if not resolved.finished:  # else every record was read when the run ended
            set_aside_damaged(run.path, run.place_of)
        process = stack.enter_context(working_process(resolved, run))
        background = stack.enter_context(BackgroundLimits(run.path, _open_scans(resolved)))
        report = counted(len(resolved.scans), process, progress, background.scan_ended)
        context = _open_context(resolved, plan, run, report, stack)
        connection = _connect(resolved, context, engine, prepared.model, limits, history)
        claims = Claims(run.path, process.record.id, Liveness(run.path))
        distributor = executor or LocalExecutor(
            resolved.gpus, run.name, resolved.sessions, connection.stop
        )
        _evaluate(resolved, context, claims, process, connection, distributor)
        require_not_stopped(process, run)
        background.finish()
        _finish(resolved, context, connection)
    return run


def _open_scans(resolved: ResolvedRun) -> Counter[str]:
    """Case -> its scans in this process, of the cases that are not finished."""
    return Counter(scan.case for scan in resolved.scans if scan.case not in resolved.finished)


def _warn_of_engine(resolved: ResolvedRun) -> None:
    """Tell what the engine does not keep a model from."""
    if not resolved.isolates:
        logger.warning(
            "engine '%s' provides no isolation; the model runs with your permissions",
            resolved.engine,
        )
        return
    for sentence in resolved.unlimited:
        logger.warning("engine %s: %s", resolved.engine, sentence)


def _limits(
    config: RunConfig, engine: Engine, model: Model, name: str, history: StartHistory
) -> tuple[Limits, LimitsInfo]:
    """The limits of the model's containers, and as a run's record states them."""
    limits, capped = choose_limits(model.card, config.timeout, engine.capacity())
    for sentence in capped:
        logger.warning("model %s: %s", config.model, sentence)
    output_limit, run = "", find_run(name)
    # a run whose folder is watched stays one; this process need not try
    if run is None or _output_is_enforced(run):
        output_limit = describe_output_limit(engine, model.image, name, history)
        if engine.isolates:
            logger.info("output folder of the model: %s", output_limit)
    return limits, describe_limits(limits, capped, output_limit)


def _output_is_enforced(run: RunStore) -> bool:
    """Whether the run's containers write into a file system of limited size, by its record."""
    limits = run.info().limits
    return limits is not None and limits.output_limit == ENFORCED


def _accepted_checks(resolved: ResolvedRun) -> DataChecks:
    """What was found in the data, with the errors that the user accepts; each is told.

    Raises:
        DatasetError: the data have errors, and ``force`` is not set.
    """
    data, config = resolved.data, resolved.config
    forced = require_usable(data, resolved.plan.dataset.name, force=config.force)
    checks = replace(data.checks, forced=forced)
    for line in checks.lines():
        logger.warning("data: %s", line)
    return checks


def _open_context(
    resolved: ResolvedRun,
    plan: Plan,
    run: RunStore,
    report: Callable[[str, Modality, str], None],
    stack: ExitStack,
) -> RunContext:
    """What all scans share; the workspace and the validator are closed with ``stack``."""
    config = resolved.config
    part = f"{run.path} {config.shard}" if config.shard else str(run.path)
    return RunContext(
        plan=plan,
        cases={case.id: case for case in resolved.cases},
        run=run,
        workspace=stack.enter_context(workspace_of(part)),
        validator=stack.enter_context(MaskValidator()),
        salt=run.info().salt,
        replay=open_run(config.prompts) if config.prompts else None,
        progress=report,
        checks=run.checks(),
        checked=resolved.data.sha256,
    )


def _connect(
    resolved: ResolvedRun,
    context: RunContext,
    engine: Engine,
    model: Model,
    limits: Limits,
    history: StartHistory,
) -> ModelConnection:
    run, config = context.run, resolved.config
    return connect(
        engine,
        model,
        rounds_of(context.plan),
        run_id=run.name,
        log=run.path / "model.log",
        limits=limits,
        threads=config.threads,
        batch=config.batch,
        history=history,
        output_enforced=_output_is_enforced(run),
        output_watched=run.record_output_limit,
    )


def _evaluate(
    resolved: ResolvedRun,
    context: RunContext,
    claims: Claims,
    process: RunProcess,
    connection: ModelConnection,
    executor: Executor,
) -> None:
    share = -(-len(resolved.scans) // max(sum(resolved.sessions), 1))
    at_once = min(resolved.config.scans_per_batch, max(share, 1))
    to_do = {scan.case for scan in resolved.scans if scan.state == "to do"}
    shared = max(resolved.sessions, default=1) > 1

    def work(tasks: Iterator[ScanTask], gpu: str | None) -> None:
        connection.answer_all(
            claimed_evaluations(context, tasks, claims, to_do, lambda: process.stopping, shared),
            context.workspace,
            gpu=gpu,
            session=connection.session,
            at_once=at_once,
        )

    for scan in resolved.scans:
        if scan.case in resolved.finished:
            how = f"unsupported: {scan.reason}" if scan.state == "refused" else "done before"
            context.progress(scan.case, scan.modality, how)
    tasks = [task for task in resolved.tasks if task.case not in resolved.finished]
    if tasks:
        executor.run(tasks, work)


def _finish(resolved: ResolvedRun, context: RunContext, connection: ModelConnection) -> None:
    """Write the tables and check the reproducibility, once all scans of the run are done."""
    run = context.run
    if resolved.finished.issuperset(case.id for case in resolved.cases) and tables_are_current(run):
        return
    missing = 0
    for case in resolved.cases:
        missing += sum(not run.record_path(case.id, name).is_file() for name in case.scans)
    if missing:
        logger.info("%d scans of run %s are left to other shards", missing, run.name)
        return
    with file_lock(run.path / "lock-finish", "umd", optional=True):
        if problem := complete_limits(run):
            logger.warning(problem)
        remove_unfinished(run.path, FOLDERS)
        gather(run)
        remove_claims(run.path)
        if resolved.config.recheck:
            gpu = resolved.gpus[0] if resolved.gpus else None
            with leased(gpu, run.name) as uuid:
                check_reproducibility(
                    replace(context, checks=run.checks()),
                    resolved.cases,
                    connection,
                    sample=resolved.config.recheck,
                    gpu=uuid,
                )
        write_finished_cases(run, limit_rules=RULES, recheck=resolved.config.recheck)
