"""The tables of all runs of a suite that was done in shards, and the record of the suite."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evaluator.errors import HostError, UserError
from evaluator.evaluation.suites import SuiteRunResult, record_suite
from evaluator.limits import complete_limits
from evaluator.runs.store import find_run
from evaluator.runs.tables import gather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.manifests.suites import Suite

logger = logging.getLogger(__name__)


def gather_suite(suite: Suite, runs: Sequence[SuiteRunResult]) -> tuple[SuiteRunResult, ...]:
    """Write the tables of a suite's runs, and the suite's record.

    Args:
        suite: the suite.
        runs: its runs with their names; those without a name have a reason.

    Returns:
        the runs that were gathered, and for the others why they were not.

    Raises:
        HostError: this machine failed; the suite's record stays as it was.
    """
    results = [_gathered(result) for result in runs]
    record_suite(suite, results)
    return tuple(results)


def _gathered(result: SuiteRunResult) -> SuiteRunResult:
    described = {"model": result.model, "dataset": result.dataset, "protocol": result.protocol}
    if result.run is None:
        return result
    run = find_run(result.run)
    if run is None:
        return SuiteRunResult(**described, reason=f"run {result.run} was not begun")
    try:
        with run.writing():
            if missing := run.missing_scans():
                logger.warning("run %s lacks %d scans", run.name, missing)
            elif problem := complete_limits(run):
                logger.warning(problem)
            gather(run)
    except HostError:
        raise
    except UserError as error:
        return SuiteRunResult(**described, reason=str(error))
    return result
