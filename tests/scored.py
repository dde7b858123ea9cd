"""Results made of given scores, without a run: for tests of what is computed from them."""

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
from evaluator.runs.tables import COLUMNS, PREDICTION_COLUMNS


def run_info(
    model: str, dataset="data", protocol="paper", dataset_sha256="d" * 64, **more
) -> RunInfo:
    """The content of a run.json; ``more`` replaces fields."""
    identity = RunIdentity(
        model=model,
        image="sha256:0",
        dataset=dataset,
        dataset_sha256=dataset_sha256,
        protocol=protocol,
        protocol_sha256=load_protocol(protocol).sha256,
        contract="1",
        prompts="drawn",
    )
    fields = {
        "identity": identity,
        "started": "2026-01-01T00:00:00+00:00",
        "command": f"umd run -m {model}",
        "dataset_source": "nowhere",
        "dataset": DatasetInfo(
            title=dataset,
            synthetic=True,
            reference_origin="generated",
            license="CC0-1.0",
            citation="none",
        ),
        "protocol_source": protocol,
        "protocol": ProtocolInfo(title=protocol, metrics=("dice",), seeds=(0,)),
        "card": {},
        "engine": EngineInfo(name="docker", isolates=True),
        "software": SoftwareInfo(version="0"),
        "host": HostInfo(system="Linux", python="3.11", machine="x86_64", cores=2),
        "salt": "salt",
    }
    return RunInfo(**fields | more)


def facts(
    model: str, dataset="data", protocol="paper", dataset_sha256="d" * 64, **more
) -> RunFacts:
    """One run's facts, of a protocol of the project."""
    info = run_info(model, dataset, protocol, dataset_sha256)
    fields = {
        "name": f"{model}.{dataset}.{protocol}", "path": Path("/nowhere"), "model": model, "label": model, "title": model,
        "card": {}, "image": "sha256:0", "random_weights": False, "weights": "", "options": {}, "reproducibility": "equal", "isolates": True, "engine": "docker",
        "prompt_kind": "point", "dataset": dataset, "dataset_sha256": dataset_sha256, "dataset_title": dataset,
        "synthetic": True, "reference_origin": "generated", "protocol": protocol,
        "protocol_sha256": load_protocol(protocol).sha256, "protocol_title": protocol, "started": "", "info": info,
    }  # fmt: skip
    return RunFacts(**fields | more)


def results(runs, rows) -> Results:
    """Results of (run, subject, modality, target, metric, value or status) rows; more keys as a last dict."""
    runs = list(runs)
    by_name = {run.name: run for run in runs}
    scores, predictions = [], []
    for run, subject, modality, target, metric, score, *more in rows:
        own = by_name[run.name]
        same = {
            "run": run.name,
            "model": own.label,
            "dataset": own.dataset,
            "protocol": own.protocol,
        }
        key = {
            "subject": subject,
            "session": "a",
            "modality": modality,
            "target": target,
            "seed": 0,
            "round": 0,
        }
        key |= more[0] if more else {}
        key["case"] = f"{key['subject']}.{key['session']}"
        given = isinstance(score, str)
        status = score if given else "ok"
        scores.append(
            same
            | key
            | {"metric": metric, "value": None if given else float(score), "status": status}
        )
        predictions.append(same | key | {"status": "ok" if status == "one-empty" else status})
    predictions = [dict(row) for row in {tuple(sorted(row.items())) for row in predictions}]
    return Results(
        runs=tuple(runs),
        scores=_frame(scores, COLUMNS),
        predictions=_frame(predictions, PREDICTION_COLUMNS),
    )


def _frame(rows, columns) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    words = [name for name in columns if name in (*COLUMNS[:9], "metric", "status", "anchor")]
    numbers = {
        "value": "Float64",
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
    for target, sides in scores.items():
        for number, values in enumerate(sides):
            for modality, value in zip(pair, values, strict=True):
                yield run, f"s{number:03d}", modality, target, metric, value
