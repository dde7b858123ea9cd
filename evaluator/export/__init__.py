"""Export a run: tables as Parquet or CSV, or masks and scores as a BIDS derivative dataset.

By default, pseudonyms replace the names of subjects and sessions. Free texts (details of failures,
notes of models) and paths are then left out, because they can contain names too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import UnknownNameError, UserError
from evaluator.export.bids import write_bids
from evaluator.export.findings import findings_table
from evaluator.export.pseudonyms import number_sessions, number_subjects
from evaluator.files import csv_bytes, write_bytes
from evaluator.runs.results import load
from evaluator.runs.tables import parquet

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["FORMATS", "export_run", "pseudonymise"]

FORMATS = ("parquet", "csv", "bids-derivatives")
#: columns that can contain ids, paths, or any text of a model
FREE_TEXT_COLUMNS = ("detail", "notes", "mask", "path")


def export_run(
    run: str,
    form: str,
    folder: Path,
    *,
    keep_ids: bool = False,
) -> list[Path]:
    """Export a run into a new folder.

    Args:
        run: name or folder of the run.
        form: one of ``FORMATS``.
        folder: the new folder.
        keep_ids: keep the names of subjects and sessions, and free texts.

    Returns:
        the files.

    Raises:
        UnknownNameError: there is no such run or format.
        UserError: the folder exists and is not empty.
        HostError: the files cannot be written.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} exists and is not empty; choose a new folder with -o")
    results = load(run)
    facts = results.runs[0]
    tables = {
        "scores": results.scores,
        "predictions": results.predictions,
        "runs": results.run_table().astype({"path": "string"}),
    }
    if not keep_ids:
        salt = facts.info.salt
        tables["scores"] = pseudonymise(tables["scores"], salt)
        tables["predictions"] = pseudonymise(tables["predictions"], salt)
    findings = findings_table(facts.store, keep_ids=keep_ids)
    if form == "bids-derivatives":
        paths = write_bids(
            facts, tables["scores"], tables["predictions"], folder, keep_ids=keep_ids
        )
        path = folder / "findings.tsv"
        write_bytes(path, findings.to_csv(index=False, sep="\t", na_rep="n/a").encode())
        return [*paths, path]
    tables["findings"] = findings
    paths = []
    for name, table in tables.items():
        if not keep_ids and name != "findings":
            table = table.drop(columns=[column for column in FREE_TEXT_COLUMNS if column in table])
        content = csv_bytes(table) if form == "csv" else parquet(table)
        paths.append(folder / f"{name}.{form}")
        write_bytes(paths[-1], content)
    return paths


def pseudonymise(table: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Replace subjects and sessions by pseudonyms, in the column ``case`` too.

    Args:
        table: with the columns subject, session and case.
        salt: the run's secret salt.
    """
    sessions = list(zip(table["subject"].astype(str), table["session"].astype(str), strict=True))
    subject_numbers = number_subjects({subject for subject, _ in sessions}, salt)
    session_numbers = number_sessions(sessions)
    subject = [subject_numbers[name] for name, _ in sessions]
    session = [session_numbers[key] for key in sessions]
    case = [".".join(names) for names in zip(subject, session, strict=True)]
    return table.assign(subject=subject, session=session, case=case)
