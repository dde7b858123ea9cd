"""The predictions of a run as rows, from its scans' records."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.imaging.geometry import voxel_ml
from evaluator.runs.effort import efforts
from evaluator.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evaluator.runs.records import CasePrompts, RoundRecord, ScanRecord
    from evaluator.runs.store import RunStore
    from evaluator.types import TargetPrompt

    Row = dict[str, Any]


def prediction_rows(run: RunStore) -> Iterator[Row]:
    """A row for each prediction, and for each target that the model was not run on."""
    prompts: CasePrompts | None = None
    for record in run.records():
        scan = scan_columns(record)
        if record.state != "done":
            for row in _rows_not_run(run, record):
                yield scan | row
            continue
        if prompts is None or prompts.case != record.case:
            prompts = run.prompts(record.case, verify=False)
        has_prompts = prompts is not None and record.modality in prompts.prompts
        given = prompts.scan(record.modality).prompts if prompts and has_prompts else {}
        for row in _rows_without_prompt(record):
            yield scan | row
        effort = efforts(record, given)
        for entry in record.rounds:
            for row in _rows_of_round(record, entry, given):
                done = effort.get((entry.seed, entry.round, row["target"]))
                yield scan | row | (asdict(done) if done else {})


def scan_columns(record: ScanRecord) -> Row:
    """The columns that all rows of a scan share."""
    return {
        "subject": record.subject,
        "session": record.session,
        "case": record.case,
        "modality": record.modality,
    }


def _rows_not_run(run: RunStore, record: ScanRecord) -> Iterator[Row]:
    scores = run.scores(record.case, record.modality)
    rows = scores.rows if scores else ()
    for target, seed in dict.fromkeys((row.target, row.seed) for row in rows):
        yield {
            "target": target,
            "seed": seed,
            "round": 0,
            "status": str(ScoreStatus.NOT_RUN),
            "detail": record.reason,
        }


def _rows_without_prompt(record: ScanRecord) -> Iterator[Row]:
    for seed, reasons in record.missing_prompts.items():
        for target, reason in reasons.items():
            empty = reason == "empty-reference"
            status = ScoreStatus.UNDEFINED if empty else ScoreStatus.NOT_RUN
            yield {
                "target": target,
                "seed": seed,
                "round": 0,
                "status": str(status),
                "detail": reason,
            }


def _rows_of_round(
    record: ScanRecord, entry: RoundRecord, prompts: Mapping[int, Mapping[str, TargetPrompt]]
) -> Iterator[Row]:
    reply = entry.reply
    grid = entry.grid or record.grid
    request: Row = {
        "seed": entry.seed,
        "round": entry.round,
        "seconds": entry.seconds,
        "load_seconds": entry.load_seconds,
        "gpu_peak_bytes": reply.gpu_peak_bytes if reply else None,
        "notes": json.dumps(dict(reply.notes)) if reply and reply.notes else None,
        "voxel_ml": voxel_ml(np.array(grid.affine)) if grid else None,
    }
    flaky = f"flaky: {entry.attempts[0].detail}" if entry.is_flaky else None
    for name, target in entry.targets.items():
        prompt = prompts.get(entry.seed, {}).get(name)
        yield request | {
            "target": name,
            "status": str(target.status),
            "detail": target.detail or flaky,
            "interactions": target.interactions,
            "voxels": target.mask.voxels if target.mask else None,
            "mask": target.mask.file if target.mask else None,
            "displacement_mm": prompt.displacement_mm if prompt else None,
            "anchor": prompt.anchor if prompt else None,
        }
