"""A run's scores as one tidy table: every score is a row, whatever its status."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.store import read_json, write_bytes

if TYPE_CHECKING:
    from evaluator.store import RunStore

COLUMNS = (
    "run", "model", "dataset", "protocol", "subject", "pair", "case", "modality", "target", "seed", "round",
    "metric", "value", "status",
)  # fmt: skip


def gather(run: RunStore) -> pd.DataFrame:
    """Collect the score files of all scans into scores.csv and scores.parquet; returns the table.

    Columns are ``COLUMNS``; ``value`` is empty (pandas' NA, in CSV nothing) exactly where ``status`` says why.
    """
    frame = read_scores(run)
    write_bytes(run.path / "scores.csv", frame.to_csv(index=False).encode())
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(run.path / "scores.parquet", buffer.getvalue())
    return frame


def read_scores(run: RunStore) -> pd.DataFrame:
    """Every score of a run, from its scans' score files, in the order of case, modality, seed, round, target."""
    identity = run.about()["identity"]
    same = {"run": run.name} | {name: identity[name] for name in ("model", "dataset", "protocol")}
    rows = []
    for record in run.records():
        about = {name: record[name] for name in ("subject", "pair", "case", "modality")}
        path = run.score_path(record["case"], record["modality"])
        if path.exists():
            rows += [same | about | row for row in read_json(path)["rows"]]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"value": "Float64", "seed": "int64", "round": "int64"}).sort_values(
        ["case", "modality", "seed", "round", "target"], kind="stable", ignore_index=True
    )
