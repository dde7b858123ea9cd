"""Run a suite: every model on every dataset under every protocol, each as a run of its own that goes on where it stopped."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import HostError, UserError
from evaluator.evaluation.run import run_model
from evaluator.evaluation.run_config import RunConfig
from evaluator.files import read_json, safe_name, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluator.manifests.suites import Suite

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRunResult:
    """How one run of a suite ended."""

    model: str
    dataset: str
    protocol: str
    #: name of the run; None: it could not be made
    run: str | None
    #: why it could not
    reason: str = ""


def run_suite(
    suite: Suite,
    order: RunConfig,
    *,
    progress: Callable[[RunConfig], Callable[[int, int, str], None]],
) -> tuple[SuiteRunResult, ...]:
    """Run all of a suite, the control first; ``order`` has what is the same for all (engine, GPUs, data root).

    A model or dataset that cannot be used (a UserError) costs its own runs alone and is told. A HostError stops the suite;
    the same command goes on from there. What ended how is kept in ``suites/<name>.json`` beside the runs.
    """
    every = list(product(suite.all_datasets, suite.protocols, suite.models))
    # a stop in the middle forgets none of the runs that were made before
    known = {(one.dataset, one.protocol, one.model): one for one in _kept(suite)}
    for key in every:
        dataset, protocol, model = key
        own = replace(order, model=model, dataset=dataset, protocol=protocol)
        try:
            run = run_model(own, progress=progress(own))
            known[key] = SuiteRunResult(
                model=model, dataset=dataset, protocol=protocol, run=run.name
            )
        except HostError:
            raise
        except UserError as error:
            logger.info(f"{model} on {dataset} under {protocol} could not be run: {error}")
            known[key] = SuiteRunResult(
                model=model, dataset=dataset, protocol=protocol, run=None, reason=str(error)
            )
        _keep(suite, [known[one] for one in every if one in known])
    return tuple(known[one] for one in every)


def suite_runs(suite: Suite) -> tuple[SuiteRunResult, ...]:
    """How the runs of a suite ended when it was run last. Raises UserError if it never was."""
    if not suite_record(suite).exists():
        raise UserError(
            f"suite {suite.name} was not run yet; run it with: umd suite run {suite.name}"
        )
    return _kept(suite)


def suite_record(suite: Suite) -> Path:
    """The file that says how the suite's runs ended."""
    return paths.runs() / "suites" / f"{safe_name(suite.name)}.json"


def _kept(suite: Suite) -> tuple[SuiteRunResult, ...]:
    path = suite_record(suite)
    return (
        tuple(SuiteRunResult(**entry) for entry in read_json(path)["ended"])
        if path.exists()
        else ()
    )


def _keep(suite: Suite, ended: list[SuiteRunResult]) -> None:
    made = [{name: getattr(one, name) for name in SuiteRunResult.__slots__} for one in ended]
    write_json(suite_record(suite), {"suite": json.loads(suite.model_dump_json()), "ended": made})


def describe(suite: Suite) -> Iterator[str]:
    """What the suite runs, in lines."""
    yield suite.title
    yield from filter(None, (suite.description.strip(),))
    yield f"models: {', '.join(suite.models)}"
    yield f"datasets: {', '.join(suite.datasets)}"
    yield f"protocols: {', '.join(suite.protocols)}"
    yield f"control: {suite.control or 'none'}"
