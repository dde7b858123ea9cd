"""A scan task at work: which of its scans the model is run on, one scan after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.datasets.image_plans import planned_case
from evaluator.errors import VolumeError
from evaluator.evaluation.click_replay import click_source, clicks_as_json, clicks_to_replay
from evaluator.evaluation.data_guard import require_checked_data, require_finished_data
from evaluator.evaluation.plan import inputs_for, refusal, scan_key
from evaluator.evaluation.prompt_cache import case_prompts
from evaluator.evaluation.record_writer import done_before, record_not_run, record_refusal
from evaluator.evaluation.scan_evaluation import ScanEvaluation
from evaluator.evaluation.scan_start import ScanStart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers import RequestOutcome
    from evaluator.containers.requests import StagedRequest
    from evaluator.evaluation.plan import Plan
    from evaluator.evaluation.run_context import CaseFiles, RunContext
    from evaluator.evaluation.scan_task import ScanTask
    from evaluator.runs.records import ScanPrompts, SeedClicks
    from evaluator.types import Case, Modality, Protocol


class TaskEvaluation:
    """Evaluates the scans of one task: ``next_request`` and ``receive`` in turn."""

    def __init__(
        self, context: RunContext, task: ScanTask, *, expects_request: bool = True
    ) -> None:
        """``expects_request``: whether a scan of the task is to do, as far as is known."""
        self.expects_request = expects_request
        self._context, self._task = context, task
        self._waiting: list[Modality] | None = None
        self._scan: ScanEvaluation | None = None
        self._number = task.number

    def next_request(self) -> StagedRequest | None:
        """The next request, staged; None when all scans of the task are finished."""
        case = self._context.cases[self._task.case]
        if self._waiting is None:
            self._waiting = self._ordered(case)
        while True:
            if self._scan is not None:
                request = self._scan.next_request()
                if request is not None:
                    return request
                self._scan = None
            if not self._waiting:
                return None
            start = start_scan(self._context, case, self._waiting.pop(0), self._number)
            self._number += 1
            self._scan = ScanEvaluation(self._context, start) if start else None

    def receive(self, outcome: RequestOutcome) -> None:
        """Take the outcome of the last request."""
        assert self._scan is not None
        self._scan.receive(outcome)

    def _ordered(self, case: Case) -> list[Modality]:
        """The scan whose clicks the others replay comes first."""
        if len(self._task.modalities) == 1:
            return list(self._task.modalities)
        source = click_source(self._context.plan, case, self._context.read_files(case).problems)
        return sorted(self._task.modalities, key=lambda name: (name != source, name))


def start_scan(
    context: RunContext, case: Case, modality: Modality, number: int
) -> ScanStart | None:
    """Everything known of a scan before the model is run on it.

    Returns:
        None if the model is not run: the scan was done before, is refused, or its data allow no
        fair prompt. The record is then complete.
    """
    plan, files = context.plan, context.read_files(case)
    inputs = inputs_for(plan.card, case, modality) or (modality,)
    for name in inputs:
        require_checked_data(context, case, name, files.sha256.get(name, {}))
    problem = _problem(plan, case, modality, files) or write_planned(plan.protocol, case)
    if problem:
        require_finished_data(context.run, case, modality, problem)
        record_not_run(context, case, modality, problem)
        return None
    if refused := refusal(plan, case, modality):
        record_refusal(context, case, modality, files.sha256[modality], refused)
        return None
    with context.prompts_lock:
        prompts = case_prompts(plan, context.run, case, files.usable, context.replay)
    scan = prompts.scan(modality)
    replayed = clicks_to_replay(plan, context.run, context.replay, case, modality, files.problems)
    key = result_key(plan, files, inputs, scan, replayed)
    if done_before(context, case, modality, key):
        return None
    return ScanStart(
        case=case,
        modality=modality,
        number=number,
        key=key,
        files=files.sha256[modality],
        inputs=inputs,
        input_files=_merged(files, inputs),
        prompts=scan,
        replayed=replayed,
    )


def write_planned(protocol: Protocol, case: Case) -> str | None:
    """Resample the case's images as the protocol plans them; why that is not possible, or None."""
    try:
        for seed in protocol.seeds:
            planned_case(case, protocol, seed)
    except VolumeError as error:
        return str(error)
    return None


def result_key(
    plan: Plan,
    files: CaseFiles,
    inputs: tuple[Modality, ...],
    prompts: ScanPrompts,
    replayed: SeedClicks | None,
) -> str:
    """The key of a scan's result, from its files, prompts and replayed clicks."""
    body: Mapping[str, object] = prompts.as_json()
    if replayed is not None:
        body = {**body, "clicks": clicks_as_json(replayed)}
    return scan_key(plan, _merged(files, inputs), body)


def _merged(files: CaseFiles, inputs: tuple[Modality, ...]) -> dict[str, str]:
    """The hashes of the files of all images of a request, by role."""
    hashes: dict[str, str] = {}
    for name in inputs:
        hashes |= files.sha256[name]
    return hashes


def _problem(plan: Plan, case: Case, modality: Modality, files: CaseFiles) -> str | None:
    """Why the data allow no fair prompt: the scan's own files, then those of its other inputs."""
    if modality in files.problems:
        return files.problems[modality]
    if refusal(plan, case, modality):
        return None
    for name in inputs_for(plan.card, case, modality) or (modality,):
        if name in files.problems:
            return files.problems[name]
    return None
