"""Runs with simulated scores, for benchmarks of what reads them: nothing in them was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.json_types import write_typed
from evaluator.runs.records import (
    MaskFile,
    RoundRecord,
    ScanRecord,
    ScanScores,
    ScoreRow,
    TargetRecord,
)
from evaluator.runs.run_info import (
    DatasetInfo,
    EngineInfo,
    HostInfo,
    ProtocolInfo,
    RunIdentity,
    RunInfo,
    SoftwareInfo,
)
from evaluator.runs.store import RunStore
from evaluator.runs.tables import gather
from evaluator.types import Status
from zoo_sdk.wire import Reply

if TYPE_CHECKING:
    from evaluator.types import Protocol


def simulate_run(
    folder: Path, model: str, protocol: str, *, pet_ct: int, pet_mr: int, seed: int = 0
) -> RunStore:
    """A run folder with records, scores and tables of ``pet_ct`` + ``pet_mr`` simulated subjects; no masks."""
    plan = load_protocol(protocol)
    chance = np.random.default_rng([seed, *model.encode(), *protocol.encode()])
    level = chance.uniform(0.3, 0.9)
    run = RunStore(folder / f"{model}.simulated.{protocol}")
    write_typed(run.path / "run.json", _run_info(model, plan))
    for number in range(pet_ct + pet_mr):
        subject = f"sim-{number:04d}"
        common = chance.normal(0, 0.6)
        for modality in ("CT" if number < pet_ct else "MR", "PT"):
            shift = common + (0 if modality != "PT" else chance.normal(-0.3, 0.3))
            scores = 1 / (
                1
                + np.exp(
                    -(np.log(level / (1 - level)) + shift + chance.normal(0, 0.5, len(ORGANS)))
                )
            )
            crashed = chance.random(len(ORGANS)) < 0.02
            _write_scan(run, subject, modality, scores, crashed)
    gather(run)
    return run


def _write_scan(run: RunStore, subject: str, modality: str, scores, crashed) -> None:
    case = f"{subject}.a"
    rows, targets = [], {}
    for organ, score, failed in zip(ORGANS, scores, crashed, strict=True):
        status = Status.CRASHED if failed else Status.OK
        mask = MaskFile(
            file=f"masks/{case}/{modality}/s0/r0/{organ}.nii.gz", sha256="0" * 64, voxels=20000
        )
        targets[organ] = TargetRecord(
            status=status,
            detail="simulated" if failed else "",
            mask=None if failed else mask,
            interactions=1,
        )
        for metric, value in (("dice", float(score)), ("rve", float(score) - 1)):
            rows.append(
                ScoreRow(
                    seed=0,
                    round=0,
                    target=organ,
                    metric=metric,
                    value=None if failed else value,
                    status=str(status),
                )
            )
    request = RoundRecord(
        seed=0, round=0, seconds=1.5, load_seconds=3.0, reply=Reply(), targets=targets
    )
    record = ScanRecord(
        case=case,
        subject=subject,
        session="a",
        modality=modality,
        key="simulated",
        state="done",
        grid=make_grid((400, 400, 350), np.diag([2.0, 2.0, 3.0, 1.0])),
        rounds=(request,),
    )
    run.write_record(record)
    run.write_scores(ScanScores(case=case, modality=modality, key="simulated", rows=tuple(rows)))


def _run_info(model: str, protocol: Protocol) -> RunInfo:
    return RunInfo(
        identity=RunIdentity(
            model=model,
            image="simulated",
            dataset="simulated",
            dataset_sha256="0" * 64,
            protocol=protocol.id,
            protocol_sha256=protocol.sha256,
            contract="1",
            prompts="drawn",
        ),
        started="2026-01-01T00:00:00+00:00",
        command="simulated",
        dataset_source="simulated",
        dataset=DatasetInfo(
            title="Simulated scores",
            synthetic=True,
            reference_origin="none: the scores are random numbers",
            license="CC0-1.0",
            citation="none",
        ),
        protocol_source=protocol.id,
        protocol=ProtocolInfo(
            title=protocol.title,
            metrics=tuple(protocol.metrics),
            seeds=tuple(protocol.seeds),
        ),
        prompt_kind="point",
        card={"umd.title": f"Simulated {model}"},
        engine=EngineInfo(name="none", isolates=True),
        software=SoftwareInfo(version="simulated"),
        host=HostInfo(system="none", python="none", machine="none"),
        salt="simulated",
    )
