"""From what the user wants to what will be done: every scan, and why the model is not run on some.

``resolve`` checks the data. It writes into the cache only: no image is built and no prompt is
simulated. (A synthetic dataset is generated when it is used for the first time.)
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evaluator.containers.gpu_sessions import plan_sessions
from evaluator.containers.gpus import Gpu, choose_gpus, find_gpus, visible_devices
from evaluator.datasets import scan_problem
from evaluator.datasets.image_plans import plan_problem
from evaluator.errors import UserError
from evaluator.evaluation.case_order import shard_cases
from evaluator.evaluation.click_replay import clicks_to_replay
from evaluator.evaluation.data_guard import CheckedData, check_data, require_finished_data
from evaluator.evaluation.disk_estimate import DiskEstimate, estimate_disk
from evaluator.evaluation.plan import Plan, inputs_for, refusal
from evaluator.evaluation.prompt_cache import prompt_source
from evaluator.evaluation.record_writer import is_done
from evaluator.evaluation.resolve_plan import resolve_plan
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.run_context import read_case_files
from evaluator.evaluation.scan_task import ScanTask, scan_tasks
from evaluator.evaluation.task_evaluation import result_key
from evaluator.limits.run_limits import RULES
from evaluator.runs.finished_cases import hash_of_files, read_finished_cases
from evaluator.runs.store import find_run
from evaluator.types import Case, Modality

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from evaluator.evaluation.run_context import CaseFiles
    from evaluator.runs.data_checks import DataChecks
    from evaluator.runs.store import RunStore
    from evaluator.types import Scan

logger = logging.getLogger(__name__)

State = Literal["to do", "done", "refused", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedScan:
    """What will become of one scan."""

    case: str
    modality: Modality
    state: State
    #: why it is refused or not run
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRun:
    """Everything that ``execute`` will do. A value: it can be printed and pickled."""

    config: RunConfig
    #: with an empty digest if the image is not built yet
    plan: Plan
    #: False: the image is built before the run starts
    image_built: bool
    #: None: known only when the image is built
    run_name: str | None
    #: whether the run folder exists
    run_exists: bool
    engine: str
    isolates: bool
    #: limits that the engine cannot set, a sentence each
    unlimited: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    #: sessions on each of the GPUs
    sessions: tuple[int, ...]
    #: all cases of the run, whatever the shard
    cases: tuple[Case, ...]
    #: what this process does: all of the run, or its shard
    tasks: tuple[ScanTask, ...]
    #: the scans of the tasks
    scans: tuple[ResolvedScan, ...]
    #: what was found in the data of the tasks
    data: CheckedData
    disk: DiskEstimate
    #: cases that were finished when the run ended, and neither they nor the run have changed since
    finished: frozenset[str] = frozenset()

    def count(self, state: State) -> int:
        """How many scans are in a state."""
        return sum(scan.state == state for scan in self.scans)


def resolve(config: RunConfig) -> ResolvedRun:
    """Find everything that a run needs, and what will become of each scan.

    Raises:
        UserError: a name, file or choice is wrong; the message says which and what to do.
        EngineUnavailableError: no container engine answers.
    """
    resolved = resolve_plan(config)
    plan, cases, replay, engine = resolved.plan, resolved.cases, resolved.replay, resolved.engine
    gpus = choose_gpus(find_gpus(), config.gpus, plan.card, visible=visible_devices())
    capacity = engine.capacity()
    sessions = plan_sessions(
        gpus, plan.card, config.per_gpu, cores=capacity.cores, memory=capacity.memory
    )
    run_name = resolved.run_name
    run = _present_run(plan, run_name, image_known=resolved.image_built)
    of_shard = set(shard_cases(cases, config.shard))
    tasks = tuple(task for task in scan_tasks(cases, plan.protocol) if task.case in of_shard)
    to_check = [case for case in cases if case.id in of_shard]
    logger.info("checking the data of %d cases", len(to_check))
    data = check_data(to_check, registered=plan.registered, rehash=config.rehash)
    finished = _finished_cases(run, config, data) if run is not None else frozenset()
    scans = _resolve_scans(plan, to_check, run, replay, data.checks, finished)
    return ResolvedRun(
        config=config,
        plan=plan,
        image_built=resolved.image_built,
        run_name=run_name,
        run_exists=run is not None,
        engine=engine.name,
        isolates=engine.isolates,
        unlimited=engine.unlimited(),
        gpus=gpus,
        sessions=sessions,
        cases=cases,
        tasks=tasks,
        scans=scans,
        data=data,
        disk=estimate_disk(_to_do(plan, scans), plan.protocol, workers=sum(sessions)),
        finished=finished,
    )


def _present_run(plan: Plan, name: str | None, *, image_known: bool) -> RunStore | None:
    """The run of this name if it exists; raises RunConflictError if it is another one."""
    run = find_run(name) if name else None
    if run is not None:
        recorded, present = run.info().identity, plan.identity
        if not image_known:  # all else is
            present = replace(present, image=recorded.image, weights=recorded.weights)
        run.require_identity(present)
    return run


def _to_do(plan: Plan, scans: Sequence[ResolvedScan]) -> list[Scan]:
    cases = {case.id: case for case in plan.dataset.cases}
    return [cases[scan.case].scans[scan.modality] for scan in scans if scan.state == "to do"]


def _finished_cases(run: RunStore, config: RunConfig, data: CheckedData) -> frozenset[str]:
    """The checked cases that are finished, by the states and hashes of files alone."""
    if config.rehash:
        return frozenset()
    recorded = read_finished_cases(run, limit_rules=RULES, recheck=config.recheck)
    unchanged = frozenset(
        case
        for case, hashes in data.sha256.items()
        if recorded.get(case) == hash_of_files(hashes) and case not in data.checks.stopped
    )
    # an unreadable file is found when its scan is resolved
    return unchanged - {finding.case for finding in data.errors}


def _resolve_scans(
    plan: Plan,
    cases: Sequence[Case],
    run: RunStore | None,
    replay: RunStore | None,
    checks: DataChecks,
    finished: Collection[str],
) -> tuple[ResolvedScan, ...]:
    scans: list[ResolvedScan] = []
    for case in cases:
        stopped = checks.stopped.get(case.id, {})
        for modality in sorted(case.scans):
            if case.id in finished:
                scans.append(_finished_scan(plan, case, modality))
                continue
            scan = _resolve_scan(plan, case, modality, run, replay, stopped)
            if run is not None and scan.state == "not run":
                require_finished_data(run, case, modality, scan.reason)
            scans.append(scan)
    return tuple(scans)


def _finished_scan(plan: Plan, case: Case, modality: Modality) -> ResolvedScan:
    """A scan of a finished case: done, or refused by the model's card."""
    refused = refusal(plan, case, modality)
    return ResolvedScan(
        case=case.id,
        modality=modality,
        state="refused" if refused else "done",
        reason=refused.detail if refused else "",
    )


def _resolve_scan(
    plan: Plan,
    case: Case,
    modality: Modality,
    run: RunStore | None,
    replay: RunStore | None,
    stopped: Mapping[str, str],
) -> ResolvedScan:
    def state(state: State, reason: str = "") -> ResolvedScan:
        return ResolvedScan(case=case.id, modality=modality, state=state, reason=reason)

    if problem := stopped.get(modality) or scan_problem(case.scans[modality]):
        return state("not run", problem)
    if refused := refusal(plan, case, modality):
        return state("refused", refused.detail)
    if problem := plan_problem(case, plan.protocol):
        return state("not run", problem)
    inputs = inputs_for(plan.card, case, modality) or (modality,)
    for name in inputs:
        if problem := stopped.get(name) or scan_problem(case.scans[name]):
            return state("not run", problem)
    files = read_case_files(case, stopped) if run is not None else None
    if run and files and _is_done(plan, case, modality, inputs, run, replay, files):
        return state("done")
    return state("to do")


def _is_done(
    plan: Plan,
    case: Case,
    modality: Modality,
    inputs: tuple[Modality, ...],
    run: RunStore,
    replay: RunStore | None,
    files: CaseFiles,
) -> bool:
    """True when the run has this result."""
    if not run.record_path(case.id, modality).is_file():
        return False
    try:
        prompts = run.prompts(case.id)
        if prompts is None or prompts.source != prompt_source(plan, files.usable):
            return False
        replayed = clicks_to_replay(plan, run, replay, case, modality, files.problems)
    except UserError:
        return False
    key = result_key(plan, files, inputs, prompts.scan(modality), replayed)
    return is_done(run, case, modality, key)
