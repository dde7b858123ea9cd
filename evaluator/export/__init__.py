"""Export a run for others: its tables as Parquet or CSV, or its masks and scores as a BIDS derivative dataset.

Subjects and session_numbers get numbers unless their names are to be kept, and then nothing that was written freely (failures'
details, models' notes) and no path goes along: names hide there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import UnknownNameError, UserError
from evaluator.export.bids import write_bids
from evaluator.export.pseudonyms import number_sessions, number_subjects
from evaluator.files import write_bytes
from evaluator.runs.results import load
from evaluator.runs.tables import parquet

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["FORMATS", "export_run", "number"]

FORMATS = ("parquet", "csv", "bids-derivatives")
#: columns that may hold ids, paths or whatever a model wrote
FREE = ("detail", "notes", "mask", "path")


def export_run(
    run: str,
    form: str,
    folder: Path,
    *,
    keep_ids: bool = False,
) -> list[Path]:
    """Write a run, by name or folder, into a new folder in one of ``FORMATS``; returns the files.

    Raises UnknownNameError for another format, UserError if the folder is there already, HostError if the disk refuses.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is there already and not empty; give -o a folder that is not")
    results = load(run)
    facts = results.runs[0]
    scores, predictions, runs = (
        results.scores,
        results.predictions,
        results.run_table().astype({"path": "string"}),
    )
    if not keep_ids:
        scores, predictions = (number(frame, facts.info.salt) for frame in (scores, predictions))
    if form == "bids-derivatives":
        return write_bids(facts, scores, predictions, folder, keep_ids=keep_ids)
    paths = []
    for name, frame in (("scores", scores), ("predictions", predictions), ("runs", runs)):
        told = (
            frame
            if keep_ids
            else frame.drop(columns=[column for column in FREE if column in frame])
        )
        paths.append(folder / f"{name}.{form}")
        write_bytes(
            paths[-1], told.to_csv(index=False).encode() if form == "csv" else parquet(told)
        )
    return paths


def number(frame: pd.DataFrame, salt: str) -> pd.DataFrame:
    """The table with numbers in place of subjects and session_numbers, in ``case`` too."""
    old = list(zip(frame["subject"].astype(str), frame["session"].astype(str), strict=True))
    subjects, session_numbers = (
        number_subjects({subject for subject, _ in old}, salt),
        number_sessions(old),
    )
    subject = [subjects[name] for name, _ in old]
    session = [session_numbers[key] for key in old]
    case = [f"{one}.{two}" for one, two in zip(subject, session, strict=True)]
    return frame.assign(subject=subject, session=session, case=case)
