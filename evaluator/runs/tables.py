"""A run's scores and predictions as two tidy tables: every score and every prediction is a row, whatever its status.

The tables are made of the scans' records and score files, which stay the record. Each Parquet file says of which files
it was made, so that a table older than the record is seen and not used.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.errors import UserError
from evaluator.files import fingerprint, read_json, write_bytes
from evaluator.imaging.geometry import voxel_ml
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.files import Json
    from evaluator.runs.store import RunStore
    from evaluator.types import Protocol

COLUMNS = (
    "run", "model", "dataset", "protocol", "subject", "session", "case", "modality", "target", "seed", "round",
    "metric", "value", "status",
)  # fmt: skip

PREDICTION_COLUMNS = (
    "run", "model", "dataset", "protocol", "subject", "session", "case", "modality", "target", "seed", "round",
    "status", "detail", "seconds", "load_seconds", "gpu_peak_bytes", "clicks", "voxels", "voxel_ml", "mask",
    "displacement_mm", "anchor", "notes",
)  # fmt: skip
"""``seconds`` and ``load_seconds`` are the request's, measured here, and stand on each of its targets; ``gpu_peak_bytes``
and ``notes`` (JSON) are what the model said of the request. ``voxels`` has the mask's count and ``voxel_ml`` the size of
one; ``mask`` is the file's path within the run folder. ``displacement_mm`` is how far round 0's prompt had to move from
its drawn place, ``anchor`` the modality it was drawn on. Where nothing was asked ``status`` is ``not-run`` or
``undefined`` and ``detail`` says why. A cell without a fact is pandas' NA."""

_TYPES = {
    "seed": "int64", "round": "int64", "value": "Float64", "seconds": "Float64", "load_seconds": "Float64",
    "gpu_peak_bytes": "Int64", "clicks": "Int64", "voxels": "Int64", "voxel_ml": "Float64", "displacement_mm": "Float64",
}  # fmt: skip
_ORDER = ["case", "modality", "seed", "round", "target"]
#: under this key a Parquet file names the state of the record that it was made of
_SOURCE = b"umd.source"


def at_round(frame: pd.DataFrame, number: int | None, protocol: Protocol) -> pd.DataFrame:
    """The rows of each prediction as it stood after a round of corrections; by default after the last.

    A target that ended earlier (no error left, the Dice reached, no click left, a crash) keeps its last round, as in the
    figures over rounds. Raises UserError for a round that the protocol does not have.
    """
    if number is None:
        return last_round(frame)
    if not 0 <= number < protocol.rounds.count:
        raise UserError(
            f"there is no round {number} in protocol {protocol.id}; its rounds are 0 to {protocol.rounds.count - 1}"
        )
    return last_round(frame[frame["round"] <= number])


def last_round(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last round that each prediction has in a table of scores or of predictions."""
    if frame.empty or frame["round"].max() == 0:
        return frame
    last = frame.groupby(["run", "case", "modality", "target", "seed"], observed=True)[
        "round"
    ].transform("max")
    return frame[frame["round"] == last]


def gather(run: RunStore) -> pd.DataFrame:
    """Collect the files of all scans into scores.csv, scores.parquet and predictions.parquet; returns the scores.

    Columns are ``COLUMNS`` and ``PREDICTION_COLUMNS``; ``value`` is empty (pandas' NA, in CSV nothing) exactly where
    ``status`` says why.
    """
    source = source_of(run)
    scores = read_scores(run)
    write_bytes(run.path / "scores.csv", scores.to_csv(index=False).encode())
    for name, frame in (("scores", scores), ("predictions", read_predictions(run))):
        write_bytes(run.path / f"{name}.parquet", parquet(frame, source))
    return scores


def gathered(run: RunStore, name: str) -> pd.DataFrame | None:
    """The table ``scores`` or ``predictions`` of a run from its Parquet file; None where that is not of the record as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run.path / f"{name}.parquet"
    try:
        if (pq.read_schema(path).metadata or {}).get(_SOURCE) != source_of(run).encode():
            return None
        return _tidy(
            pq.read_table(path).to_pandas(), COLUMNS if name == "scores" else PREDICTION_COLUMNS
        )
    except (OSError, KeyError, pa.ArrowInvalid):
        return None


def source_of(run: RunStore) -> str:
    """The state of a run's record: a hash over name, size and time of every file that the tables are made of."""
    paths = [
        path
        for folder in ("records", "scores", "prompts")
        for path in (run.path / folder).rglob("*.json")
    ]
    states = [(str(path.relative_to(run.path)), *_state(path)) for path in sorted(paths)]
    return fingerprint({"columns": [*COLUMNS, *PREDICTION_COLUMNS], "files": states})


def parquet(frame: pd.DataFrame, source: str = "") -> bytes:
    """A table as the bytes of a Parquet file that says what it was made of."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata((table.schema.metadata or {}) | {_SOURCE: source.encode()}),
        buffer,
    )
    return buffer.getvalue()


def read_scores(run: RunStore) -> pd.DataFrame:
    """Every score of a run, from its scans' score files, in the order of case, modality, seed, round, target."""
    return _frame(
        run,
        COLUMNS,
        ((record, row) for record in run.records() for row in _score_rows(run, record)),
    )


def read_predictions(run: RunStore) -> pd.DataFrame:
    """Every prediction of a run, from its scans' records, and a row for each target that nothing was asked about."""
    return _frame(run, PREDICTION_COLUMNS, _prediction_rows(run))


def _frame(
    run: RunStore, names: tuple[str, ...], rows: Iterator[tuple[Json, Json]]
) -> pd.DataFrame:
    identity = run.about()["identity"]
    same = {"run": run.name} | {name: identity[name] for name in ("model", "dataset", "protocol")}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for record, row in rows:
        for name in names:
            columns[name].append(
                same[name] if name in same else row[name] if name in row else record.get(name)
            )
    return _tidy(pd.DataFrame(columns), names).sort_values(_ORDER, kind="stable", ignore_index=True)


def _tidy(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Numbers nullable, all else text."""
    return frame[list(names)].astype({name: _TYPES.get(name, "string") for name in names})


def _score_rows(run: RunStore, record: Json) -> list[Json]:
    path = run.score_path(record["case"], record["modality"])
    return list(read_json(path)["rows"]) if path.exists() else []


def _prediction_rows(run: RunStore) -> Iterator[tuple[Json, Json]]:
    of_case: tuple[str, Json] = ("", {})
    for record in run.records():
        if record["state"] != "done":
            asked = dict.fromkeys((row["target"], row["seed"]) for row in _score_rows(run, record))
            why = {"round": 0, "status": str(ScoreStatus.NOT_RUN), "detail": record["reason"]}
            yield from ((record, {"target": target, "seed": seed} | why) for target, seed in asked)
            continue
        if of_case[0] != record["case"]:
            path = run.prompts_path(record["case"])
            of_case = (record["case"], read_json(path)["prompts"] if path.exists() else {})
        prompts = of_case[1].get(record["modality"], {})
        ml = voxel_ml(np.array(record["grid"]["affine"])) if "grid" in record else None
        for seed, reasons in record["no_prompt"].items():
            for target, reason in reasons.items():
                status = (
                    ScoreStatus.UNDEFINED if reason == "empty-reference" else ScoreStatus.NOT_RUN
                )
                yield (
                    record,
                    {
                        "target": target,
                        "seed": int(seed),
                        "round": 0,
                        "status": str(status),
                        "detail": reason,
                    },
                )
        for entry in record["rounds"]:
            given = prompts.get(str(entry["seed"]), {})
            yield from ((record, row | {"voxel_ml": ml}) for row in _asked(entry, given))


def _asked(entry: Json, prompts: Json) -> Iterator[Json]:
    reply = entry.get("reply", {})
    notes = reply.get("notes")
    said = {
        "seed": entry["seed"],
        "round": entry["round"],
        "seconds": entry.get("seconds"),
        "load_seconds": entry.get("load_seconds"),
        "gpu_peak_bytes": reply.get("gpu_peak_bytes"),
        "notes": json.dumps(notes) if notes else None,
    }
    for target, made in entry["targets"].items():
        mask, prompt = made.get("mask") or {}, prompts.get(target, {})
        own = {"target": target, "status": made["status"], "detail": made.get("detail") or None}
        own |= {
            "clicks": made.get("clicks"),
            "voxels": mask.get("voxels"),
            "mask": mask.get("file"),
        }
        yield said | own | {key: prompt.get(key) for key in ("displacement_mm", "anchor")}


def _state(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns
