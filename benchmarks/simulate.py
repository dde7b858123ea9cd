"""Runs with simulated scores, to benchmark their readers; nothing in them was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from evaluator.datasets.phantom.anatomy import ORGANS
from evaluator.files import write_json
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.store import RunStore
from evaluator.runs.tables import gather


def simulate_run(
    folder: Path, model: str, protocol: str, *, pet_ct: int, pet_mr: int, seed: int = 0
) -> RunStore:
    """A run folder of simulated subjects: records, scores and tables, without masks."""
    plan = load_protocol(protocol)
    rng = np.random.default_rng([seed, *model.encode(), *protocol.encode()])
    level = rng.uniform(0.3, 0.9)
    run = RunStore(folder / f"{model}.simulated.{protocol}")
    write_json(run.path / "run.json", _about(model, plan))
    for number in range(pet_ct + pet_mr):
        subject = f"sim-{number:04d}"
        common = rng.normal(0, 0.6)
        for modality in ("CT" if number < pet_ct else "MR", "PT"):
            shift = common + (0 if modality != "PT" else rng.normal(-0.3, 0.3))
            logits = np.log(level / (1 - level)) + shift + rng.normal(0, 0.5, len(ORGANS))
            scores = 1 / (1 + np.exp(-logits))
            crashed = rng.random(len(ORGANS)) < 0.02
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
            | {"clicks": 1}
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
    round_entry = {
        "seed": 0,
        "round": 0,
        "seconds": 1.5,
        "load_seconds": 3.0,
        "reply": {},
        "targets": targets,
    }
    record = {
        "case": case,
        "subject": subject,
        "session": "a",
        "modality": modality,
        "key": "simulated",
        "state": "done",
        "files": {},
        "grid": {
            "shape": [400, 400, 350],
            "affine": np.diag([2.0, 2.0, 3.0, 1.0]).tolist(),
        },
        "no_prompt": {},
        "rounds": [round_entry],
    }
    for path, body in (
        (run.record_path(case, modality), record),
        (
            run.score_path(case, modality),
            {"case": case, "modality": modality, "key": "simulated", "rows": rows},
        ),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body))


def _about(model: str, plan) -> dict:
    identity = {
        "model": model,
        "image": "simulated",
        "dataset": "simulated",
        "dataset_sha256": "0" * 64,
        "protocol": plan.id,
        "protocol_sha256": plan.sha256,
        "contract": "1",
        "prompts": "drawn",
    }
    dataset = {
        "title": "Simulated scores",
        "synthetic": True,
        "reference_origin": "none: the scores are random numbers",
        "license": "CC0-1.0",
        "citation": "none",
    }
    return {
        "identity": identity,
        "started": "2026-01-01T00:00:00+00:00",
        "command": "simulated",
        "dataset_source": "simulated",
        "data_root": None,
        "dataset": dataset,
        "protocol_source": plan.id,
        "protocol": {
            "title": plan.title,
            "metrics": list(plan.metrics),
            "seeds": list(plan.seeds),
        },
        "prompt_kind": "point",
        "replayed_run": None,
        "card": {"umd.title": f"Simulated {model}"},
        "engine": {"name": "none", "isolates": True},
        "gpus": [],
        "umd": {"version": "simulated", "commit": None},
        "packages": {},
        "host": {},
    }
