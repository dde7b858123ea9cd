"""What is recorded of how a run was made, so that it can be repeated."""

from __future__ import annotations

import os
import platform
import secrets
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.evaluation.run_config import RECHECK
from evaluator.runs.run_info import (
    DatasetInfo,
    EngineInfo,
    GpuInfo,
    HostInfo,
    LimitsInfo,
    ProtocolInfo,
    RunInfo,
    SoftwareInfo,
    WeightsInfo,
)
from evaluator.zoo.conformance.golden_record import golden_state
from evaluator.zoo.preflight.verdict import preflight_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Limits
    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.plan import Plan
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.types import Case

#: clocks of two machines may differ so much
CLOCK_SLACK = timedelta(minutes=5)
PACKAGES = ("numpy", "scipy", "numba", "nibabel", "SimpleITK", "pandas", "docker")


def run_info(
    plan: Plan,
    config: RunConfig,
    engine: Engine,
    gpus: Sequence[Gpu],
    weights_sha256: Mapping[str, str],
    *,
    cases: Sequence[Case],
    limits: LimitsInfo | None = None,
    sessions_per_gpu: int = 1,
) -> RunInfo:
    """The content of ``run.json`` for a new run of these cases."""
    dataset, protocol = plan.dataset, plan.protocol
    return RunInfo(
        identity=plan.identity,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(sys.argv),
        dataset_source=_absolute(config.dataset),
        data_root=str(config.data_root.absolute()) if config.data_root else None,
        found_root=str(dataset.root) if dataset.root else None,
        dataset=DatasetInfo(
            title=dataset.title,
            synthetic=dataset.synthetic,
            reference_origin=dataset.reference_origin,
            license=dataset.license,
            citation=dataset.citation,
            circular=dataset.circular,
        ),
        protocol_source=_absolute(config.protocol),
        protocol=ProtocolInfo(title=protocol.title, metrics=protocol.metrics, seeds=protocol.seeds),
        prompt_kind=plan.kind,
        replayed_run=plan.replay[0] if plan.replay else None,
        card=dict(plan.card.labels),
        weights=WeightsInfo(
            name=plan.weights,
            sha256=dict(weights_sha256),
            golden=golden_state(plan.card.name, weights_sha256) if plan.weights else "",
            preflight=_preflight(plan, weights_sha256),
        ),
        options=dict(plan.options),
        engine=_engine_info(engine, config.runtime),
        limits=limits,
        gpus=tuple(map(_gpu_info, gpus)),
        sessions_per_gpu=sessions_per_gpu,
        software=SoftwareInfo(version=version("umd-evaluator"), commit=_commit()),
        packages={name: version(name) for name in PACKAGES},
        host=HostInfo(
            system=platform.platform(),
            python=platform.python_version(),
            machine=platform.machine(),
            cores=os.cpu_count(),
        ),
        salt=secrets.token_hex(16),
        scans=sum(len(case.scans) for case in cases),
        subjects=len({case.subject for case in cases}),
        dataset_subjects=len({case.subject for case in dataset.cases}),
        arguments=tuple(arguments_of(config)),
    )


def _preflight(plan: Plan, weights_sha256: Mapping[str, str]) -> str:
    """The verdict on the weights' files; empty without weights and for random ones."""
    if not plan.weights or plan.weights.startswith("random"):
        return ""
    return preflight_state(plan.card.name, weights_sha256)


def arguments_of(config: RunConfig) -> list[str]:
    """The arguments of ``umd run`` for a run, with absolute paths."""
    words = ["-m", _absolute(config.model), "-d", _absolute(config.dataset)]
    words += ["-p", _absolute(config.protocol)]
    for pattern in config.cases:
        words += ["--case", pattern]
    for text in config.options:
        words += ["--option", text]
    weights = config.weights
    if weights != "published" and weights.partition(":")[0] != "random":
        weights = str(Path(weights).absolute())
    settings = {
        "--limit": config.limit,
        "--shuffle": config.shuffle,
        "--data-root": config.data_root and config.data_root.absolute(),
        "--weights": None if weights == "published" else weights,
        "--engine": None if config.engine == "auto" else config.engine,
        "--runtime": config.runtime,
        "--name": config.name,
        "--prompts": config.prompts,
        "--timeout": config.timeout,
        "--recheck": None if config.recheck == RECHECK else config.recheck,
    }
    for option, value in settings.items():
        if value is not None:
            words += [option, str(value)]
    flags = {
        "--batch": config.batch,
        "--force": config.force,
        "--unregistered": config.unregistered,
    }
    return [*words, *(option for option, given in flags.items() if given)]


def _absolute(source: str) -> str:
    """A name as it is; the path of a file from the root."""
    return str(Path(source).absolute()) if source.endswith(".toml") else source


def _engine_info(engine: Engine, runtime: str | None) -> EngineInfo:
    return EngineInfo(
        name=engine.name,
        runtime=runtime or "",
        isolates=engine.isolates,
        versions=engine.about(),
        unlimited=engine.unlimited(),
    )


def _gpu_info(gpu: Gpu) -> GpuInfo:
    return GpuInfo(index=gpu.index, name=gpu.name, driver=gpu.driver, uuid=gpu.uuid)


def describe_limits(limits: Limits, capped: Sequence[str], output_limit: str) -> LimitsInfo:
    """The limits of the model's containers, as ``run.json`` states them."""
    return LimitsInfo(
        timeout=limits.timeout,
        startup=limits.startup,
        memory=limits.memory,
        shm=limits.shm,
        cpus=limits.cpus,
        output_bytes=limits.output_bytes,
        output_limit=output_limit,
        capped=tuple(capped),
    )


def clock_warning(started: str, now: datetime) -> str:
    """That this machine's clock is behind the start of a run; empty if it is not.

    Args:
        started: start of the run by its record, ISO 8601 with a time zone.
        now: by this machine's clock.
    """
    if now >= datetime.fromisoformat(started) - CLOCK_SLACK:
        return ""
    return (
        f"the run was started at {started} by its record, and this machine's clock says "
        f"{now.isoformat(timespec='seconds')}: one of the clocks was wrong. Seconds of requests "
        "do not depend on it"
    )


def _commit() -> str | None:
    """The checkout's commit, with "+changes" if files differ from it; None outside of git."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    if head is None or changes is None:
        return None
    return head + ("+changes" if changes else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(paths.project()), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()
