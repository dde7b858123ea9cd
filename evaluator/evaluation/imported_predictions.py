"""Score predictions that were made elsewhere as a run, so that they stand in tables and reports."""

from __future__ import annotations

import logging
import string
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from evaluator.containers import RequestOutcome
from evaluator.containers.contracts.prediction_files import PredictionFilesContract
from evaluator.containers.workspace import workspace_of
from evaluator.datasets import load_dataset
from evaluator.datasets.load import choose_cases
from evaluator.errors import UserError
from evaluator.evaluation.data_guard import check_data, require_usable
from evaluator.evaluation.plan import Plan
from evaluator.evaluation.provenance import run_info
from evaluator.evaluation.run_config import RunConfig
from evaluator.evaluation.run_context import RunContext
from evaluator.evaluation.scan_task import scan_tasks
from evaluator.evaluation.task_evaluation import TaskEvaluation
from evaluator.files import file_sha256, fingerprint
from evaluator.limits import complete_limits
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.damaged_files import set_aside_damaged
from evaluator.runs.store import create_run
from evaluator.runs.tables import gather
from evaluator.types import ModelCard
from evaluator.volumes import MaskValidator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.containers.contracts.prediction_files import PredictionFile
    from evaluator.evaluation.data_guard import CheckedData
    from evaluator.runs.data_checks import DataChecks
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, PromptKind, Protocol, Scan

logger = logging.getLogger(__name__)

FIELDS = ("case", "subject", "session", "modality", "target")
LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportConfig:
    """What is imported."""

    folder: Path
    #: name of the model in tables
    model: str
    dataset: str
    protocol: str
    #: path inside the folder, with the names of ``FIELDS`` in braces
    pattern: str
    #: target -> values in a label map; None: the values of the dataset's references
    labels: Mapping[str, tuple[int, ...]] | None = None
    #: the kind of prompt that the predictions were made with; "class": the target's name alone
    made_with: PromptKind = "class"
    data_root: Path | None = None
    name: str | None = None
    #: score in spite of errors in the data
    force: bool = False


class _NoEngine:
    """What ``run.json`` says of the engine of a model that was not run here."""

    name = "none"
    isolates = False
    sessions = False

    def about(self) -> dict[str, str]:
        return {}

    def unlimited(self) -> tuple[str, ...]:
        return ()


def import_predictions(config: ImportConfig) -> RunStore:
    """Score files as the predictions of a model.

    Args:
        config: the files and what they are predictions of.

    Returns:
        The run. A file that is missing is a prediction with the status ``missing``.

    Raises:
        UserError: the pattern names no file, or the protocol has several rounds.
        DatasetError: the data have errors, and ``force`` is not set; nothing was done.
    """
    dataset = load_dataset(config.dataset, config.data_root)
    protocol = load_protocol(config.protocol)
    _check(config, protocol)
    cases = choose_cases(dataset, [])
    files = {
        scan.image: _files_of(config, case, scan) for case in cases for scan in case.scans.values()
    }
    hashes = _hashes(config, files)
    data = check_data(cases, registered=True)
    checks = _accepted_checks(data, dataset.name, force=config.force)
    plan = Plan(
        card=_card(config, cases),
        digest=f"files:{fingerprint(hashes)}",
        dataset=dataset,
        protocol=protocol,
    )
    info = run_info(plan, _order(config), _NoEngine(), (), hashes, cases=cases)  # type: ignore[arg-type]
    run = create_run(config.name or plan.run_name, info)
    with run.writing(None), workspace_of(str(run.path)) as workspace, MaskValidator() as validator:
        run.write_checks(checks, data.cases)
        set_aside_damaged(run.path, run.place_of)
        context = RunContext(
            plan=plan,
            cases={case.id: case for case in cases},
            run=run,
            workspace=workspace,
            validator=validator,
            salt=run.info().salt,
            contract=PredictionFilesContract(files),
            checks=run.checks(),
            checked=data.sha256,
        )
        _score_all(context, cases)
        if problem := complete_limits(run):
            logger.warning(problem)
        gather(run)
    return run


def _accepted_checks(data: CheckedData, dataset: str, *, force: bool) -> DataChecks:
    checks = replace(data.checks, forced=require_usable(data, dataset, force=force))
    for line in checks.lines():
        logger.warning("data: %s", line)
    return checks


def _score_all(context: RunContext, cases: Sequence[Case]) -> None:
    for task in scan_tasks(cases, context.plan.protocol):
        evaluation = TaskEvaluation(context, task)
        while (request := evaluation.next_request()) is not None:
            evaluation.receive(RequestOutcome(request=request, output=context.workspace.output))


def _order(config: ImportConfig) -> RunConfig:
    """The settings that the run's record states."""
    return RunConfig(
        model=config.model,
        dataset=config.dataset,
        protocol=config.protocol,
        data_root=config.data_root,
        recheck=0,
    )


def _check(config: ImportConfig, protocol: Protocol) -> None:
    try:
        parts = list(string.Formatter().parse(config.pattern))
    except ValueError as error:
        raise UserError(f"pattern {config.pattern!r}: {error}") from None
    names = [name for _, name, _, _ in parts if name is not None]
    place = PurePath(config.pattern)
    if place.is_absolute() or ".." in place.parts:
        raise UserError(f"pattern {config.pattern!r} must be a path inside {config.folder}")
    if unknown := set(names) - set(FIELDS):
        raise UserError(
            f"the pattern has {{{', '.join(sorted(unknown))}}}; "
            f"known are {', '.join('{' + name + '}' for name in FIELDS)}"
        )
    if protocol.rounds.count > 1:
        raise UserError(
            f"protocol {protocol.id} has {protocol.rounds.count} rounds, and a file is one answer; "
            "choose a protocol without corrections, such as paper or text"
        )
    if config.made_with not in protocol.prompts.kinds:
        raise UserError(
            f"protocol {protocol.id} gives {' or '.join(protocol.prompts.kinds)}, and the "
            f"predictions were made with {config.made_with}; choose another protocol, or say with "
            "--made-with what they were made with"
        )
    if not config.folder.is_dir():
        raise UserError(f"there is no folder {config.folder}")


def _files_of(config: ImportConfig, case: Case, scan: Scan) -> dict[str, PredictionFile]:
    """The expected file of each target of a scan."""
    values: dict[str, tuple[int, ...]] = {}
    for reference in scan.references:
        values |= reference.labels
    named = "{target}" in config.pattern
    files: dict[str, PredictionFile] = {}
    for target in scan.targets:
        if not named and config.labels is not None and target not in config.labels:
            continue
        path = config.folder / config.pattern.format(
            case=case.id,
            subject=case.subject,
            session=case.session,
            modality=scan.modality,
            target=target,
        )
        table = values if config.labels is None else config.labels
        files[target] = (path, None if named else table[target])
    return files


def _hashes(
    config: ImportConfig, files: Mapping[Path, Mapping[str, PredictionFile]]
) -> dict[str, str]:
    """sha256 of each file by its path in the folder; tells which files are not used.

    Raises:
        UserError: no file exists.
    """
    expected = {path for targets in files.values() for path, _ in targets.values()}
    present = {path for path in config.folder.rglob("*") if path.is_file()}
    used = sorted(expected & present)
    others = sorted(str(path.relative_to(config.folder)) for path in present - expected)
    if not used:
        wanted = sorted(str(path.relative_to(config.folder)) for path in expected)
        raise UserError(
            f"no file in {config.folder} fits the pattern {config.pattern!r}: it holds "
            f"{_some(others)}, and the pattern expects {_some(wanted)}"
        )
    if others:
        logger.warning("%d files are not used: %s", len(others), _some(others))
    if absent := len(expected) - len(used):
        logger.warning("%d of %d files are missing", absent, len(expected))
    return {str(path.relative_to(config.folder)): file_sha256(path) for path in used}


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:LISTED]) or "nothing"
    return f"{listed}, ..." if len(names) > LISTED else listed


def _card(config: ImportConfig, cases: Sequence[Case]) -> ModelCard:
    modalities = sorted({modality for case in cases for modality in case.scans})
    title = f"{config.model} (predictions from files)"
    return ModelCard(
        name=config.model,
        title=title,
        contract=PredictionFilesContract.name,
        inputs=tuple((modality,) for modality in modalities),
        units={},
        prompts=() if config.made_with == "class" else (config.made_with,),
        targets=None,
        labels={"umd.name": config.model, "umd.title": title},
    )
