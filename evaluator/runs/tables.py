"""A run's scores and predictions as two tidy tables.

Every score and every prediction is a row, whatever its status.

The tables are made of the scans' records and score files, which stay the record. Each Parquet file
says of which files it was made, so that a table older than the record is seen and not used.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

import pandas as pd

from evaluator.errors import UserError
from evaluator.files import file_sha256, fingerprint, write_bytes
from evaluator.runs.changed_files import record_files
from evaluator.runs.file_states import file_states
from evaluator.runs.prediction_rows import prediction_rows, scan_columns
from evaluator.runs.scorers import read_scorers

if TYPE_CHECKING:
    from evaluator.runs.records import ScanRecord
    from evaluator.runs.store import RunStore
    from evaluator.types import Protocol

    Row = dict[str, Any]

_PREDICTION = (
    "run", "model", "dataset", "protocol", "subject", "session", "case", "modality", "target",
    "seed", "round",
)  # fmt: skip

#: column -> the image-blind answers whose score it may have; a prompt has one of them at most
BLIND_COLUMNS = {"blind_round": ("ellipsoid", "ball"), "blind_shape": ("box", "mean shape")}

COLUMNS = (*_PREDICTION, "metric", "value", "status", "floor", "ceiling", *BLIND_COLUMNS)
"""``floor`` is the score of the best image-blind answer to the same prompt, ``ceiling`` what the
grid allows, ``blind_round`` and ``blind_shape`` the scores of the image-blind answers
(``docs/metrics.md``); NA where they are not known.
"""

PREDICTION_COLUMNS = (
    *_PREDICTION, "status", "detail", "seconds", "load_seconds", "gpu_peak_bytes", "interactions",
    "voxels", "voxel_ml", "mask", "displacement_mm", "anchor", "notes", "clicks", "boxes",
    "scribble_mm",
)  # fmt: skip
"""``seconds`` and ``load_seconds`` are the request's, by the evaluator's clock, on each of its
targets; ``gpu_peak_bytes`` and ``notes`` (JSON) are what the model reported of the request.
``voxels`` is the mask's voxel count and ``voxel_ml`` the volume of one; ``mask`` is the file's path
within the run folder. ``displacement_mm`` is how far round 0's prompt was moved from its simulated
place, ``anchor`` the modality it was simulated on. ``clicks``, ``boxes`` and ``scribble_mm`` are
the effort of the prompt up to this round (``evaluator.runs.effort``). Where the model was not run,
``status`` is ``not-run`` or ``undefined`` and ``detail`` says why. A missing value is pandas' NA.
"""

_TYPES = {
    "seed": "int64", "round": "int64", "value": "Float64", "seconds": "Float64",
    "load_seconds": "Float64", "gpu_peak_bytes": "Int64", "interactions": "Int64",
    "voxels": "Int64", "voxel_ml": "Float64", "displacement_mm": "Float64",
    "floor": "Float64", "ceiling": "Float64", "clicks": "Int64", "boxes": "Int64",
    "scribble_mm": "Float64", **dict.fromkeys(BLIND_COLUMNS, "Float64"),
}  # fmt: skip
_ORDER = ["case", "modality", "seed", "round", "target"]
#: under this key a Parquet file names the state of the record that it was made of
SOURCE = b"umd.source"
#: under this key the table of scores names the versions of the scorer
SCORERS = b"umd.scorers"
#: under this key the Parquet files have the sha256 of scores.csv
CSV = b"umd.csv"


def at_round(frame: pd.DataFrame, number: int | None, protocol: Protocol) -> pd.DataFrame:
    """The rows of each prediction as it stood after a round of corrections.

    By default after the last.

    A target that ended earlier (no error left, the Dice reached, no click left, a crash) keeps its
    last round, as in the figures over rounds. Raises UserError for a round that the protocol does
    not have.
    """
    if number is None:
        return last_round(frame)
    if not 0 <= number < protocol.rounds.count:
        raise UserError(
            f"there is no round {number} in protocol {protocol.id}; "
            f"its rounds are 0 to {protocol.rounds.count - 1}"
        )
    return last_round(frame[frame["round"] <= number])


def last_round(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each prediction's last round, in a table of scores or of predictions."""
    if frame.empty or frame["round"].max() == 0:
        return frame
    last = frame.groupby(["run", "case", "modality", "target", "seed"], observed=True)[
        "round"
    ].transform("max")
    return frame[frame["round"] == last]


def gather(run: RunStore) -> pd.DataFrame:
    """Collect the files of all scans into scores.csv, scores.parquet and predictions.parquet.

    Returns the scores.

    Columns are ``COLUMNS`` and ``PREDICTION_COLUMNS``; ``value`` is empty (pandas' NA, in CSV
    nothing) exactly where ``status`` says why.
    """
    source = source_of(run)
    scores = read_scores(run)
    text = scores.to_csv(index=False).encode()
    write_bytes(run.path / "scores.csv", text)
    scorers, csv = " ".join(map(str, read_scorers(run))), hashlib.sha256(text).hexdigest()
    for name, frame in (("scores", scores), ("predictions", read_predictions(run))):
        write_bytes(run.path / f"{name}.parquet", parquet(frame, source, scorers, csv))
    record_files(run)
    return scores


def tables_are_current(run: RunStore) -> bool:
    """Whether the run's tables were made of its files as they are, and are whole."""
    import pyarrow as pa

    source, csv = source_of(run).encode(), b""
    for name in ("scores", "predictions"):
        try:
            with (run.path / f"{name}.parquet").open("rb") as file:
                facts = _facts_of(file)
        except (OSError, pa.ArrowInvalid):
            return False
        if facts.get(SOURCE) != source:
            return False
        csv = facts.get(CSV, b"")
    try:
        present = file_sha256(run.path / "scores.csv").encode()
    except OSError:
        return False
    return csv in (b"", present)  # empty: a table of an earlier version


def _facts_of(file: BinaryIO) -> dict[bytes, bytes]:
    """What a Parquet table says of itself.

    The caller opens the file, as pyarrow opens no path that is not UTF-8.
    """
    import pyarrow.parquet as pq

    return pq.read_schema(file).metadata or {}


def gathered(run: RunStore, name: str) -> pd.DataFrame | None:
    """The table ``scores`` or ``predictions`` of a run from its Parquet file.

    None where that is not of the record as it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run.path / f"{name}.parquet"
    columns = COLUMNS if name == "scores" else PREDICTION_COLUMNS
    try:
        with path.open("rb") as file:
            if _facts_of(file).get(SOURCE) != source_of(run).encode():
                return None
            return _tidy(pq.read_table(file).to_pandas(), columns)
    except (OSError, KeyError, pa.ArrowInvalid):
        return None


def source_of(run: RunStore) -> str:
    """The state of a run: a hash over name, size and time of every file behind its tables."""
    folders = ("records", "scores", "prompts", "limits")
    states = sorted(file_states(run.path, folders, ".json"), key=lambda state: state[0].split("/"))
    return fingerprint({"columns": [*COLUMNS, *PREDICTION_COLUMNS], "files": states})


def parquet(frame: pd.DataFrame, source: str = "", scorers: str = "", csv: str = "") -> bytes:
    """A table as the bytes of a Parquet file that names its source, scorers and hash of the CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    buffer = io.BytesIO()
    facts = {SOURCE: source.encode(), SCORERS: scorers.encode(), CSV: csv.encode()}
    metadata = (table.schema.metadata or {}) | facts
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def read_scores(run: RunStore) -> pd.DataFrame:
    """Every score of a run from its scans' score files, by case, modality, seed, round, target."""
    rows: list[Row] = []
    for record in run.records():
        scores = run.scores(record.case, record.modality)
        scan = scan_columns(record)
        limits = _limits_of(run, record)
        for row in scores.rows if scores else ():
            rows.append(scan | asdict(row) | limits.get((row.seed, row.target, row.metric), {}))
    return _frame(run, COLUMNS, rows)


def _limits_of(run: RunStore, record: ScanRecord) -> dict[tuple[int, str, str], Row]:
    """Seed, target and metric -> floor and ceiling of the scan's scores."""
    limits = run.limits(record.case, record.modality)
    columns: dict[tuple[int, str, str], Row] = {}
    for row in limits.rows if limits else ():
        of_row: Row = {"floor": row.floor, "ceiling": row.ceiling}
        for column, names in BLIND_COLUMNS.items():
            of_row[column] = next((row.blind[name] for name in names if name in row.blind), None)
        columns[row.seed, row.target, row.metric] = of_row
    return columns


def read_predictions(run: RunStore) -> pd.DataFrame:
    """Every prediction of a run, and a row for each target that the model was not run on."""
    return _frame(run, PREDICTION_COLUMNS, list(prediction_rows(run)))


def _frame(run: RunStore, names: tuple[str, ...], rows: list[Row]) -> pd.DataFrame:
    identity = run.info().identity
    common: Row = {
        "run": run.name,
        "model": identity.model,
        "dataset": identity.dataset,
        "protocol": identity.protocol,
    }
    columns: dict[str, list[Any]] = {}
    for name in names:
        if name in common:
            columns[name] = [common[name]] * len(rows)
        else:
            columns[name] = [row.get(name) for row in rows]
    frame = _tidy(pd.DataFrame(columns), names)
    return frame.sort_values(_ORDER, kind="stable", ignore_index=True)


def _tidy(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Numbers nullable, all else text."""
    return frame[list(names)].astype({name: _TYPES.get(name, "string") for name in names})
