"""Export runs: tables as Parquet or CSV, masks and scores as BIDS derivatives, or DICOM-SEG.

By default, pseudonyms replace the names of subjects and sessions. Free texts (details of failures,
notes of models) and paths are then left out, because they can contain names too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.errors import UnknownNameError, UserError
from evaluator.export.bids import write_bids
from evaluator.export.findings import findings_table
from evaluator.export.grand_challenge import GRAND_CHALLENGE, write_predictions
from evaluator.export.pseudonyms import number_sessions, number_subjects
from evaluator.files import csv_bytes, write_bytes
from evaluator.runs.results import load
from evaluator.runs.tables import parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from evaluator.containers.contracts.sockets import SocketMap
    from evaluator.runs.results import Results
    from evaluator.runs.store import RunStore

__all__ = ["FORMATS", "export_run", "pseudonymise"]

FORMATS = ("parquet", "csv", "bids-derivatives", GRAND_CHALLENGE, "dicom-seg")
#: columns that can contain ids, paths, or any text of a model
FREE_TEXT_COLUMNS = ("detail", "notes", "mask", "path")


def export_run(
    runs: str | Path | RunStore | Iterable[str | Path | RunStore],
    form: str,
    folder: Path,
    *,
    keep_ids: bool = False,
    sockets: SocketMap | None = None,
) -> list[Path]:
    """Export one run or several into a new folder.

    Tables hold the rows of all runs. Masks of several runs are one BIDS dataset for each run, in a
    folder with the run's name. A subject of a dataset has one number in all runs of the export.

    Args:
        runs: names or folders of the runs; a shell pattern stands for several.
        form: one of ``FORMATS``.
        folder: the new folder.
        keep_ids: keep the names of subjects and sessions, and free texts.
        sockets: for "grand-challenge", the algorithm's inputs and outputs; None: those of the run's
            model.

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
    if form == "dicom-seg" and not keep_ids:
        raise UserError(
            "a DICOM-SEG carries the patient's name and numbers, as its images do; if the files "
            "stay in the hospital, add --keep-ids"
        )
    results = load(runs)
    if form == "dicom-seg":
        return _write_dicom_seg(results, folder)
    tables = {
        "scores": results.scores,
        "predictions": results.predictions,
        "runs": results.run_table().astype({"path": "string"}),
    }
    if not keep_ids:
        salt = "\n".join(sorted(facts.info.salt for facts in results.runs))
        tables["scores"] = pseudonymise(tables["scores"], salt)
        tables["predictions"] = pseudonymise(tables["predictions"], salt)
    if form == GRAND_CHALLENGE:
        if len(results.runs) != 1:
            raise UserError(f"{len(results.runs)} runs are named; export one run at a time")
        predictions = tables["predictions"]
        return write_predictions(results.runs[0], predictions, folder, sockets, keep_ids=keep_ids)
    if form == "bids-derivatives":
        return _write_bids(results, tables, folder, keep_ids=keep_ids)
    findings = [findings_table(facts.store, keep_ids=keep_ids) for facts in results.runs]
    tables["findings"] = pd.concat(findings, ignore_index=True)
    paths = []
    for name, table in tables.items():
        if not keep_ids and name != "findings":
            table = table.drop(columns=[column for column in FREE_TEXT_COLUMNS if column in table])
        content = csv_bytes(table) if form == "csv" else parquet(table)
        paths.append(folder / f"{name}.{form}")
        write_bytes(paths[-1], content)
    return paths


def _write_bids(
    results: Results, tables: Mapping[str, pd.DataFrame], folder: Path, *, keep_ids: bool
) -> list[Path]:
    paths = []
    for facts in results.runs:
        scores, predictions = (
            table[table["run"] == facts.name] for table in (tables["scores"], tables["predictions"])
        )
        of_run = folder if len(results.runs) == 1 else folder / facts.name
        paths += write_bids(facts, scores, predictions, of_run, keep_ids=keep_ids)
        findings = findings_table(facts.store, keep_ids=keep_ids)
        paths.append(of_run / "findings.tsv")
        write_bytes(paths[-1], findings.to_csv(index=False, sep="\t", na_rep="n/a").encode())
    return paths


def _write_dicom_seg(results: Results, folder: Path) -> list[Path]:
    # loads pydicom and highdicom, which no other format needs
    from evaluator.export.dicom_seg import write_dicom_seg

    paths = []
    for facts in results.runs:
        predictions = results.predictions[results.predictions["run"] == facts.name]
        of_run = folder if len(results.runs) == 1 else folder / facts.name
        paths += write_dicom_seg(facts, predictions, of_run)
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
