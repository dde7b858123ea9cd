"""Failure analysis: every failed or poor prediction with its failure mode, and example cases.

Masks are read from the run folders and references from the dataset, one scan at a time. The
failure modes of a scan are stored in the cache, so a second report reads no mask again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator import paths
from evaluator.analysis.failure_modes import EMPTY, FAILURE_MODES, classify
from evaluator.analysis.run_dataset import dataset_of
from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import UserError, VolumeError
from evaluator.files import fingerprint, read_json, write_json
from evaluator.imaging.grid_masks import crop_mask
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import at_round
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.records import ScanRecord
    from evaluator.runs.results import Group, Results, RunFacts
    from evaluator.types import Scan

    #: called with the number of scans read, the number of scans, and the name of the last one
    Progress = Callable[[int, int, str], None]
    #: columns of one prediction
    Row = dict[str, Any]

#: a prediction with a lower overlap score is poor
POOR = 0.5
#: overlap scores that define a poor prediction; the first that the protocol has is used
OVERLAPS = ("dice", "iou", "nsd")
#: version of the classification; a change invalidates the cache
_VERSION = 2
UNCLASSIFIED = "not classified"

_KEY = [
    "run", "model", "dataset", "protocol", "subject", "case", "modality", "target", "seed", "round",
]  # fmt: skip
_MEASUREMENTS = (
    "neighbour", "neighbour_dice", "volume_ratio", "precision", "sensitivity", "shift_mm",
)  # fmt: skip
_GROUP = ["dataset", "protocol", "model", "target", "modality"]

COLUMNS = {
    "cases": {
        **dict.fromkeys(_KEY, "as in the table of predictions"),
        "status": "status of the prediction",
        "metric": "the overlap score that defines a poor prediction",
        "score": "that score; NA for a prediction without a mask",
        "failure_mode": (
            "a key of evaluator.analysis.failure_modes.FAILURE_MODES, the status of a prediction "
            f"without a mask, or {UNCLASSIFIED!r}"
        ),
        "detail": "detail of the failure, or why the mask was not classified",
        "neighbour": "the other reference that the mask overlaps most",
        "neighbour_dice": "Dice of the mask and that reference",
        "volume_ratio": "predicted divided by reference volume",
        "precision": "share of the mask inside the reference",
        "sensitivity": "share of the reference inside the mask",
        "shift_mm": "distance of the centres of mass of mask and reference",
        "mask": "file of the mask within the run folder",
    },
    "counts": {
        "dataset": "name of the dataset",
        "protocol": "id of the protocol",
        "model": "label of the model",
        "target": "the target",
        "modality": "CT, MR or PT",
        "failure_mode": "as in the cases",
        "count": "predictions with this failure mode",
        "predictions": "predictions that were requested",
        "share": "count divided by predictions",
    },
    "picks": {
        **dict.fromkeys(_KEY, "as in the table of predictions"),
        "pick": '"worst" or "median" score of the masks of this model, target and modality',
        "metric": "name of the score",
        "score": "the score",
        "mask": "file of the mask within the run folder",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureAnalysis:
    """Tables with the columns of ``COLUMNS``."""

    #: every failed or poor prediction
    cases: pd.DataFrame
    #: predictions by failure mode
    counts: pd.DataFrame
    #: worst and median predictions, as examples
    picks: pd.DataFrame
    #: a prediction with a lower overlap score is poor
    poor: float


def find_failures(
    results: Results,
    *,
    poor: float = POOR,
    round_number: int | None = None,
    threads: int = 2,
    progress: Progress = lambda *_: None,
) -> FailureAnalysis:
    """Classify every prediction that failed or has a poor overlap score.

    ``unsupported`` predictions are not failures and are left out. If the dataset of a run is not
    available or has changed, its poor masks are "not classified" and the detail says why. Each
    thread holds one scan's references and one mask in memory.

    Args:
        results: Predictions and scores of the runs.
        poor: A prediction with a lower overlap score is poor.
        round_number: Round of corrections. Default: each prediction's last round.
        threads: Number of scans to read at the same time.
        progress: Called after each scan.
    """
    table = _predictions(results, round_number)
    is_failed = ~table["status"].isin([Status.OK, Status.UNSUPPORTED])
    is_poor = (table["score"] < poor).fillna(value=False)
    cases = table[is_failed | is_poor].reset_index(drop=True)
    cases = pd.concat([cases, _classified(results, cases, threads, progress)], axis=1)
    statuses = cases["status"].astype("string")
    cases["failure_mode"] = cases["failure_mode"].where(cases["status"] == Status.OK, statuses)
    cases["detail"] = cases["detail"].fillna(cases.pop("reason"))
    return FailureAnalysis(
        cases=cases[list(COLUMNS["cases"])],
        counts=_counts(table, cases),
        picks=_picks(table),
        poor=poor,
    )


def _predictions(results: Results, number: int | None) -> pd.DataFrame:
    """Return every prediction that was requested, with its overlap score."""
    tables = [_group_predictions(group, number) for group in results.groups()]
    return pd.concat(tables, ignore_index=True)


def _group_predictions(group: Group, number: int | None) -> pd.DataFrame:
    metric = next((name for name in OVERLAPS if name in group.protocol.metrics), None)
    scores = at_round(group.results.scores, number, group.protocol)
    scores = scores.loc[scores["metric"] == metric, [*_KEY, "value"]]
    scores = scores.rename(columns={"value": "score"})
    predictions = at_round(group.results.predictions, number, group.protocol)
    predictions = predictions[~predictions["status"].isin(("not-run", "undefined"))]
    table = predictions.merge(scores, on=_KEY, how="left").assign(metric=metric)
    texts = [name for name in (*_KEY, "status", "metric") if name not in ("seed", "round")]
    return table.astype(dict.fromkeys(texts, "string"))


def _classified(
    results: Results, cases: pd.DataFrame, threads: int, progress: Progress
) -> pd.DataFrame:
    """Return the failure mode of each row with its measurements, or the reason for none."""
    by_row: dict[int, Row] = {}
    masks = cases[cases["status"] == Status.OK]
    jobs = []
    for run in results.runs:
        rows_of_run = masks[masks["run"] == run.name]
        scans, problem = _scans(run) if len(rows_of_run) else ({}, "")
        for (case, modality), rows in rows_of_run.groupby(["case", "modality"], observed=True):
            scan = scans.get((str(case), str(modality)))
            if scan is None:
                reason = problem or "the dataset does not have this scan"
                unclassified = {"failure_mode": UNCLASSIFIED, "reason": reason}
                by_row.update(dict.fromkeys(rows.index, unclassified))
            else:
                jobs.append((run, scan, rows))
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="failures") as pool:
        results_by_scan = pool.map(lambda job: _scan_failure_modes(*job), jobs)
        for number, failure_modes in enumerate(results_by_scan, 1):
            by_row.update(failure_modes)
            run, _, rows = jobs[number - 1]
            name = f"{run.label} {rows['case'].iloc[0]} {rows['modality'].iloc[0]}"
            progress(number, len(jobs), name)
    columns = ["failure_mode", *_MEASUREMENTS, "reason"]
    rows_in_order = [by_row.get(number, {}) for number in range(len(cases))]
    frame = pd.DataFrame(rows_in_order, columns=columns, index=cases.index)
    kinds = dict.fromkeys(columns, "Float64")
    kinds |= dict.fromkeys(("failure_mode", "neighbour", "reason"), "string")
    return frame.astype(kinds)


def _scans(run: RunFacts) -> tuple[dict[tuple[str, str], Scan], str]:
    """Return the scans of a run's dataset by case and modality; or none, and the reason."""
    try:
        dataset = dataset_of(run)
    except UserError as error:
        return {}, str(error)
    scans = {}
    protocol = load_protocol(run.info.protocol_source)
    for case in dataset.cases:
        try:
            planned = planned_case(case, protocol)
        except VolumeError:
            continue  # the case was not run
        scans.update({(case.id, str(name)): scan for name, scan in planned.scans.items()})
    return scans, ""


def _scan_failure_modes(run: RunFacts, scan: Scan, rows: pd.DataFrame) -> dict[int, Row]:
    """Return the failure modes of one scan's poor masks by row, from the cache or the files."""
    record = run.store.record(rows["case"].iloc[0], scan.modality)
    assert record is not None
    path = _cache_path(record, sorted(rows["mask"]))
    if path.exists():
        by_mask = read_json(path)["failure_modes"]
    else:
        by_mask = dict(_read_failure_modes(run, scan, rows))
        # a file that could not be read may be readable the next time
        if all(row["failure_mode"] != UNCLASSIFIED for row in by_mask.values()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"failure_modes": by_mask})
    return {index: by_mask[mask] for index, mask in zip(rows.index, rows["mask"], strict=True)}


def _cache_path(record: ScanRecord, masks: list[str]) -> Path:
    """Return the cache file of one scan.

    Its name changes with the masks, the references and the version of the classification.
    """
    name = fingerprint(
        {
            "version": _VERSION,
            "key": record.key,
            "files": dict(record.files),
            "masks": masks,
            "hashes": [mask.sha256 for mask in record.masks()],
        }
    )
    return paths.cache() / "failures" / name[:2] / f"{name}.json"


def _read_failure_modes(run: RunFacts, scan: Scan, rows: pd.DataFrame) -> Iterator[tuple[str, Row]]:
    """Yield each mask's file with its failure mode and measurements."""
    references: Mapping[str, GridMask] | None = None
    for row in rows.itertuples(index=False):
        mask = str(row.mask)
        if row.voxels == 0:
            yield mask, {"failure_mode": EMPTY}
            continue
        try:
            references = load_references(scan).masks if references is None else references
            array, grid = run.store.masks.read(mask)
        except (UserError, OSError) as error:
            yield mask, {"failure_mode": UNCLASSIFIED, "reason": str(error)}
            continue
        if array.shape != next(iter(references.values())).grid.shape:
            reason = "the mask is not on the grid of the references"
            yield mask, {"failure_mode": UNCLASSIFIED, "reason": reason}
            continue
        columns = asdict(classify(crop_mask(array, grid), references, str(row.target)))
        yield mask, {"failure_mode": columns.pop("name")} | columns


def _counts(table: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    requested = table[table["status"] != Status.UNSUPPORTED]
    totals = requested.groupby(_GROUP).size().rename("predictions").reset_index()
    counts = cases.groupby([*_GROUP, "failure_mode"]).size().rename("count").reset_index()
    counts = counts.merge(totals, on=_GROUP)
    counts["share"] = counts["count"] / counts["predictions"]
    order = {name: number for number, name in enumerate(FAILURE_MODES)}
    counts["_order"] = counts["failure_mode"].map(order).fillna(len(order))
    counts = counts.sort_values([*_GROUP, "_order", "failure_mode"], ignore_index=True)
    return counts[list(COLUMNS["counts"])]


def _picks(table: pd.DataFrame) -> pd.DataFrame:
    """Pick for each model, target and modality the lowest score and the one nearest the median."""
    scored = table[(table["status"] == Status.OK) & table["score"].notna()]
    rows = []
    for _, group in scored.sort_values(["score", "case", "seed"]).groupby(_GROUP):
        score = group["score"].to_numpy(dtype=np.float64)
        median = int(np.argmin(np.abs(score - np.median(score))))
        rows.append(group.iloc[0].to_dict() | {"pick": "worst"})
        rows.append(group.iloc[median].to_dict() | {"pick": "median"})
    return pd.DataFrame(rows, columns=list(COLUMNS["picks"]))
