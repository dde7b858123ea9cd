"""Runs with simulated scores, for benchmarks of what reads them: nothing in them was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS
from evaluator.files import write_json
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.json_types import dump
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
from evaluator.types import Modality, Status

if TYPE_CHECKING:
    from evaluator.types import Protocol

GRID = make_grid((400, 400, 350), np.diag([2.0, 2.0, 3.0, 1.0]))


def simulate_run(
    folder: Path, model: str, protocol: str, *, pet_ct: int, pet_mr: int, seed: int = 0
) -> RunStore:
    """A run of ``pet_ct`` + ``pet_mr`` simulated subjects: records, scores, tables, no masks."""
    plan = load_protocol(protocol)
    rng = np.random.default_rng([seed, *model.encode(), *protocol.encode()])
    level = rng.uniform(0.3, 0.9)
    run = RunStore(folder / f"{model}.simulated.{protocol}")
    write_json(run.path / "run.json", dump(_run_info(model, plan)))
    for number in range(pet_ct + pet_mr):
        subject = f"sim-{number:04d}"
        common = rng.normal(0, 0.6)
        for modality in ("CT" if number < pet_ct else "MR", "PT"):
            shift = common + (0 if modality != "PT" else rng.normal(-0.3, 0.3))
            logits = np.log(level / (1 - level)) + shift + rng.normal(0, 0.5, len(ORGANS))
            crashed = rng.random(len(ORGANS)) < 0.02
            _write_scan(run, subject, modality, 1 / (1 + np.exp(-logits)), crashed)
    gather(run)
    return run


def _write_scan(run: RunStore, subject: str, modality: Modality, scores: Any, crashed: Any) -> None:
    case = f"{subject}.a"
    rows, targets = [], {}
    for organ, score, failed in zip(ORGANS, scores, crashed, strict=True):
        targets[organ] = _target(f"masks/{case}/{modality}/s0/r0/{organ}.nii.gz", failed)
        for metric, value in (("dice", float(score)), ("rve", float(score) - 1)):
            rows.append(
                ScoreRow(
                    seed=0,
                    round=0,
                    target=organ,
                    metric=metric,
                    value=None if failed else value,
                    status=targets[organ].status,
                )
            )
    entry = RoundRecord(
        seed=0, round=0, request="simulated", seconds=1.5, load_seconds=3.0, targets=targets
    )
    record = ScanRecord(
        case=case,
        subject=subject,
        session="a",
        modality=modality,
        key="simulated",
        state="done",
        grid=GRID,
        rounds=(entry,),
    )
    of_scan = ScanScores(case=case, modality=modality, key="simulated", rows=tuple(rows))
    _write(run.record_path(case, modality), record)
    _write(run.score_path(case, modality), of_scan)


def _target(file: str, failed: bool) -> TargetRecord:
    if failed:
        return TargetRecord(status=Status.CRASHED, detail="simulated", interactions=1)
    mask = MaskFile(file=file, sha256="0" * 64, voxels=20000)
    return TargetRecord(status=Status.OK, mask=mask, interactions=1)


def _write(path: Path, value: ScanRecord | ScanScores) -> None:
    """Write without fsync, which would take most of the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dump(value)))


def _run_info(model: str, plan: Protocol) -> RunInfo:
    return RunInfo(
        identity=RunIdentity(
            model=model,
            image="simulated",
            dataset="simulated",
            dataset_sha256="0" * 64,
            protocol=plan.id,
            protocol_sha256=plan.sha256,
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
        protocol_source=plan.id,
        protocol=ProtocolInfo(title=plan.title, metrics=plan.metrics, seeds=plan.seeds),
        prompt_kind="point",
        card={"umd.title": f"Simulated {model}"},
        engine=EngineInfo(name="none", isolates=True),
        software=SoftwareInfo(version="simulated"),
        host=HostInfo(system="simulated", python="simulated", machine="simulated"),
        salt="simulated",
    )
