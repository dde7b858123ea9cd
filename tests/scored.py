"""Results of given scores, without a run: for tests of what is computed from them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from evaluator.manifests.protocols import load_protocol
from evaluator.runs.results import Results, RunFacts
from evaluator.runs.run_info import (
    DatasetInfo,
    EngineInfo,
    HostInfo,
    ProtocolInfo,
    RunIdentity,
    RunInfo,
    SoftwareInfo,
)
from evaluator.runs.tables import BLIND_COLUMNS, COLUMNS, PREDICTION_COLUMNS


def run_info(model: str, dataset: str, protocol: str, dataset_sha256: str) -> RunInfo:
    """The content of run.json for a protocol of the project."""
    manifest = load_protocol(protocol)
    return RunInfo(
        identity=RunIdentity(
            model=model,
            image="sha256:0",
            dataset=dataset,
            dataset_sha256=dataset_sha256,
            protocol=protocol,
            protocol_sha256=manifest.sha256,
            contract="1",
            prompts="drawn",
        ),
        started="",
        command=f"umd run -m {model}",
        dataset_source="nowhere",
        dataset=DatasetInfo(
            title=dataset,
            synthetic=True,
            reference_origin="generated",
            license="CC0-1.0",
            citation="none",
        ),
        protocol_source=protocol,
        protocol=ProtocolInfo(
            title=protocol, metrics=tuple(manifest.metrics), seeds=tuple(manifest.seeds)
        ),
        prompt_kind="point",
        card={},
        engine=EngineInfo(name="docker", isolates=True),
        software=SoftwareInfo(version="0"),
        host=HostInfo(system="Linux", python="3", machine="x86_64"),
        salt="salt",
    )


def facts(
    model: str, dataset="data", protocol="paper", dataset_sha256="d" * 64, **changes
) -> RunFacts:
    """One run's facts, of a protocol of the project."""
    fields = {
        "name": f"{model}.{dataset}.{protocol}",
        "path": Path("/nowhere"),
        "model": model,
        "label": model,
        "title": model,
        "card": {},
        "image": "sha256:0",
        "random_weights": False,
        "image_blind": False,
        "weights": "",
        "options": {},
        "reproducibility": "equal",
        "isolates": True,
        "engine": "docker",
        "prompt_kind": "point",
        "dataset": dataset,
        "dataset_sha256": dataset_sha256,
        "dataset_title": dataset,
        "synthetic": True,
        "reference_origin": "generated",
        "protocol": protocol,
        "protocol_sha256": load_protocol(protocol).sha256,
        "protocol_title": protocol,
        "started": "",
        "info": run_info(model, dataset, protocol, dataset_sha256),
    }
    return RunFacts(**fields | changes)


def results(runs, rows) -> Results:
    """Results of (run, subject, modality, target, metric, value or status) rows.

    A row may end with a dict of more keys: session, seed, round, floor, ceiling, blind_round, ...
    """
    runs = list(runs)
    by_name = {run.name: run for run in runs}
    scores, predictions = [], []
    for run, subject, modality, target, metric, score, *more in rows:
        labelled = by_name[run.name]
        key = {
            "run": run.name,
            "model": labelled.label,
            "dataset": labelled.dataset,
            "protocol": labelled.protocol,
            "subject": subject,
            "session": "a",
            "modality": modality,
            "target": target,
            "seed": 0,
            "round": 0,
        }
        key |= more[0] if more else {}
        key["case"] = f"{key['subject']}.{key['session']}"
        is_status = isinstance(score, str)
        status = score if is_status else "ok"
        value = None if is_status else float(score)
        scores.append(key | {"metric": metric, "value": value, "status": status})
        predictions.append(key | {"status": "ok" if status == "one-empty" else status})
    unique = {tuple(sorted(row.items())) for row in predictions}
    return Results(
        runs=tuple(runs),
        scores=_frame(scores, COLUMNS),
        predictions=_frame([dict(row) for row in unique], PREDICTION_COLUMNS),
    )


def _frame(rows, columns) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    words = [name for name in columns if name in (*COLUMNS[:9], "metric", "status", "anchor")]
    numbers = {
        "value": "Float64",
        "floor": "Float64",
        "ceiling": "Float64",
        **dict.fromkeys(BLIND_COLUMNS, "Float64"),
        "seed": "int64",
        "round": "int64",
        "voxels": "Int64",
        "voxel_ml": "Float64",
    }
    texts = dict.fromkeys(("detail", "mask", "notes"), "string")
    kinds = dict.fromkeys(words, "category") | numbers | texts
    frame = frame.astype({name: kind for name, kind in kinds.items() if name in columns})
    for name in words:
        frame[name] = frame[name].cat.reorder_categories(sorted(frame[name].cat.categories))
    return frame


def paired(run, scores, metric="dice", pair=("CT", "PT")):
    """Rows of {target: [(structural, functional) of each subject]}."""
    for target, subjects in scores.items():
        for number, values in enumerate(subjects):
            for modality, value in zip(pair, values, strict=True):
                yield run, f"s{number:03d}", modality, target, metric, value
