"""The runs of a suite as jobs: their names, images, shards, and what they ask for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from evaluator.datasets import root_for
from evaluator.errors import HostError, UserError
from evaluator.evaluation.case_order import shard_cases
from evaluator.evaluation.plan import inputs_for, refusal
from evaluator.evaluation.resolve_plan import resolve_plan
from evaluator.evaluation.suites import SuiteRunResult
from evaluator.runs.shards import Shard
from evaluator.runs.store import find_run
from evaluator.runs.timings import TimeEstimate, estimate_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.evaluation.run_config import RunConfig
    from evaluator.manifests.suites import Suite
    from evaluator.types import Case, ModelCard

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteJob:
    """One run of a suite, before it is divided into shards."""

    model: str
    #: as the suite names it
    dataset: str
    protocol: str
    #: name of the run
    run: str
    #: digest of the image, which every node must have
    image: str
    card: ModelCard
    cases: tuple[Case, ...]
    #: scans that the model takes
    scans: int
    #: from an earlier run; None: there is none
    estimate: TimeEstimate | None
    #: the folder of the dataset's files, where the user names one and the dataset is not generated
    data_root: Path | None = None

    @property
    def subjects(self) -> int:
        """How many subjects the run has; a shard has at least one."""
        return len({case.subject for case in self.cases})

    @property
    def root_arguments(self) -> list[str]:
        """Arguments of ``umd run`` that name the folder of the dataset's files."""
        return ["--data-root", str(self.data_root.absolute())] if self.data_root else []

    def shards(self, count: int) -> tuple[Shard, ...]:
        """At most ``count`` shards, none of which is empty."""
        number = min(count, self.subjects)
        return tuple(Shard(index, number) for index in range(1, number + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteJobs:
    """The jobs of a suite, and the runs that cannot be made."""

    jobs: tuple[SuiteJob, ...]
    refused: tuple[SuiteRunResult, ...]


def suite_jobs(suite: Suite, config: RunConfig) -> SuiteJobs:
    """The runs of a suite as jobs. Nothing is built or run.

    Args:
        suite: the suite.
        config: what is the same for all runs (engine, data root).

    Raises:
        HostError: this machine failed, which says nothing of the runs.
    """
    jobs: list[SuiteJob] = []
    refused: list[SuiteRunResult] = []
    for dataset, protocol, model in product(suite.all_datasets, suite.protocols, suite.models):
        try:
            root = root_for(dataset, config.data_root)
            of_run = replace(
                config, model=model, dataset=dataset, protocol=protocol, data_root=root
            )
            jobs.append(_job(of_run))
        except HostError:
            raise
        except UserError as error:
            result = SuiteRunResult(model=model, dataset=dataset, protocol=protocol)
            refused.append(replace(result, reason=" ".join(str(error).split())))
    return SuiteJobs(jobs=tuple(jobs), refused=tuple(refused))


def _job(config: RunConfig) -> SuiteJob:
    resolved = resolve_plan(config)
    if resolved.run_name is None:
        raise UserError(
            f"the image of {config.model} is not on this machine, so nobody can tell which image "
            f"the nodes have to use; bring it with: umd models build {config.model}, "
            "or umd models load FILE"
        )
    plan = resolved.plan
    refusals: list[str] = []
    scans = 0
    for case in resolved.cases:
        for modality in case.scans:
            if refused := refusal(plan, case, modality):
                refusals.append(refused.detail)
            else:
                scans += inputs_for(plan.card, case, modality) is not None
    if not scans and refusals:
        raise UserError(f"the model takes no scan of the dataset: {refusals[0]}")
    return SuiteJob(
        model=config.model,
        dataset=config.dataset,
        protocol=config.protocol,
        run=resolved.run_name,
        image=plan.digest,
        card=plan.card,
        cases=resolved.cases,
        scans=scans,
        estimate=estimate_time(plan.card.name, plan.dataset.name, plan.protocol.id),
        data_root=config.data_root,
    )


def open_cases(run_name: str, cases: tuple[Case, ...], shard: Shard | None) -> Iterator[str]:
    """Ids of a shard's cases of which a scan has no record yet."""
    run = find_run(run_name)
    chosen = set(shard_cases(cases, shard))
    for case in cases:
        if case.id not in chosen:
            continue
        if run is None or not all(run.record_path(case.id, name).is_file() for name in case.scans):
            yield case.id
