"""Run a suite: every model on every dataset under every protocol, each as a run that can resume."""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.datasets import root_for
from evaluator.errors import HostError, UserError
from evaluator.evaluation.run import run_model
from evaluator.evaluation.run_config import RunConfig
from evaluator.files import safe_name
from evaluator.manifests.suites import Suite
from evaluator.runs.json_types import FORMAT, read_typed, write_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRunResult:
    """How one run of a suite ended."""

    model: str
    dataset: str
    protocol: str
    #: name of the run; None: it could not be made
    run: str | None = None
    #: why it could not
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRecord:
    """How the runs of a suite ended: ``suites/<name>.json`` beside the runs."""

    #: the suite's manifest
    suite: dict[str, object]
    results: tuple[SuiteRunResult, ...] = ()
    format: int = FORMAT


def run_suite(
    suite: Suite,
    config: RunConfig,
    *,
    progress: Callable[[RunConfig], Callable[[int, int, str], None]],
) -> tuple[SuiteRunResult, ...]:
    """Run all of a suite, the control first.

    A model or dataset that cannot be used costs its own runs alone, and a message says why. How the
    runs ended is recorded after each of them.

    Args:
        suite: what to run.
        config: what is the same for all runs (engine, GPUs, data root).
        progress: gives the progress callback of one run.

    Raises:
        HostError: the machine failed; the same call resumes the suite.
    """
    keys = list(product(suite.all_datasets, suite.protocols, suite.models))
    # an interruption forgets none of the runs that were made before
    results = {(entry.dataset, entry.protocol, entry.model): entry for entry in _recorded(suite)}
    for key in keys:
        dataset, protocol, model = key
        result = SuiteRunResult(model=model, dataset=dataset, protocol=protocol)
        try:
            of_run = replace(
                config,
                model=model,
                dataset=dataset,
                protocol=protocol,
                data_root=root_for(dataset, config.data_root),
            )
            run = run_model(of_run, progress=progress(of_run))
            results[key] = replace(result, run=run.name)
        except HostError:
            raise
        except UserError as error:
            logger.warning(f"{model} on {dataset} under {protocol} could not be run: {error}")
            results[key] = replace(result, reason=str(error))
        record_suite(suite, [results[name] for name in keys if name in results])
    return tuple(results[key] for key in keys)


def suite_runs(suite: Suite, source: str = "") -> tuple[SuiteRunResult, ...]:
    """How the runs of a suite ended the last time.

    Args:
        suite: the suite.
        source: name or file that the user gave for it, for the message.

    Raises:
        UserError: the suite was never run.
    """
    if not suite_record(suite).exists():
        command = shlex.join(["umd", "suite", "run", source or suite.name])
        raise UserError(f"suite {suite.name} was not run yet; run it with: {command}")
    return _recorded(suite)


def suite_record(suite: Suite) -> Path:
    """The file that records how the suite's runs ended."""
    return paths.runs() / "suites" / f"{safe_name(suite.name)}.json"


def describe(suite: Suite) -> Iterator[str]:
    """What the suite runs, in lines."""
    yield suite.title
    if suite.description.strip():
        yield suite.description.strip()
    yield f"models: {', '.join(suite.models)}"
    yield f"datasets: {', '.join(suite.datasets)}"
    yield f"protocols: {', '.join(suite.protocols)}"
    yield f"control: {suite.control or 'none'}"
    for family in suite.families:
        models, targets = ", ".join(family.models), ", ".join(family.targets)
        yield f"family {family.name}: {models or 'all models'}; {targets or 'every target'}"


def _recorded(suite: Suite) -> tuple[SuiteRunResult, ...]:
    path = suite_record(suite)
    return read_typed(SuiteRecord, path).results if path.exists() else ()


def record_suite(suite: Suite, results: Sequence[SuiteRunResult]) -> None:
    """Record how the runs of a suite ended."""
    manifest = json.loads(suite.model_dump_json())
    write_typed(suite_record(suite), SuiteRecord(suite=manifest, results=tuple(results)))
