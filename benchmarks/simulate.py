"""Runs with simulated scores, for benchmarks of what reads them: nothing in them was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.json_types import write_typed
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
from evaluator.types import Protocol


def simulate_run(
    folder: Path, model: str, protocol: str, *, pet_ct: int, pet_mr: int, seed: int = 0
) -> RunStore:
    """A run folder with records, scores and tables of ``pet_ct`` + ``pet_mr`` simulated subjects; no masks."""
    plan = load_protocol(protocol)
    chance = np.random.default_rng([seed, *model.encode(), *protocol.encode()])
    level = chance.uniform(0.3, 0.9)
    run = RunStore(folder / f"{model}.simulated.{protocol}")
    write_typed(run.path / "run.json", _info(model, plan))
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
        status = "crashed" if failed else "ok"
        mask = {
            "file": f"masks/{case}/{modality}/s0/r0/{organ}.nii.gz",
            "sha256": "0" * 64,
            "voxels": 20000,
        }
        targets[organ] = (
            {"status": status}
            | ({"detail": "simulated"} if failed else {"mask": mask})
            | {"interactions": 1}
        )
        for metric, value in (("dice", float(score)), ("rve", float(score) - 1)):
            value = None if failed else value
            rows.append(
                {
                    "seed": 0,
                    "round": 0,
                    "target": organ,
                    "metric": metric,
                    "value": value,
                    "status": status,
                }
            )
    record = {
        "case": case, "subject": subject, "session": "a", "modality": modality, "key": "simulated", "state": "done",
        "files": {}, "grid": {"shape": [400, 400, 350], "affine": np.diag([2.0, 2.0, 3.0, 1.0]).tolist()}, "missing_prompts": {}, "format": 2,
        "rounds": [{"seed": 0, "round": 0, "seconds": 1.5, "load_seconds": 3.0, "targets": targets}],
    }  # fmt: skip
    for path, body in (
        (run.record_path(case, modality), record),
        (
            run.score_path(case, modality),
            {"case": case, "modality": modality, "key": "simulated", "rows": rows, "format": 2},
        ),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body))


def _info(model: str, plan: Protocol) -> RunInfo:
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
        host=HostInfo(system="none", python="none", machine="none"),
        salt="simulated",
    )
