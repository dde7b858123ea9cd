"""The failure atlas: every failed or poor prediction with the kind of its mistake, counted, and cases picked for pictures.

Masks are read from the run folders and references from the dataset, a scan at a time; what was found out about a scan is
kept in the cache, so that a report made again reads no mask twice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator import paths
from evaluator.analysis.failure_modes import EMPTY, KINDS, classify
from evaluator.datasets import load_dataset
from evaluator.datasets.references import load_references
from evaluator.errors import UserError
from evaluator.files import fingerprint, read_json, write_json
from evaluator.imaging.grid_masks import crop_mask
from evaluator.runs.tables import at_round
from evaluator.types import Status
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.records import ScanRecord
    from evaluator.runs.results import Results, RunFacts
    from evaluator.types import Scan

#: a prediction with a lower overlap score is poor
POOR = 0.5
#: the overlap scores by which a prediction is poor, the first that the protocol has
OVERLAPS = ("dice", "iou", "nsd")
#: how mistakes are told; another number makes what the cache holds void
_VERSION = 1
UNTOLD = "not classified"

_KEY = [
    "run",
    "model",
    "dataset",
    "protocol",
    "subject",
    "case",
    "modality",
    "target",
    "seed",
    "round",
]
_FIGURES = ("neighbour", "neighbour_dice", "volume_ratio", "inside", "found", "shift_mm")

COLUMNS = {
    "cases": {
        **dict.fromkeys(_KEY, "as in the predictions' table"),
        "status": "the prediction's",
        "metric": "the overlap score that says whether it is poor",
        "score": "that score; NA for a prediction without a mask",
        "kind": f"a kind of evaluator.analysis.failure_modes.KINDS, the status of a prediction without a mask, or {UNTOLD!r}",
        "detail": "the failure's detail, or why the mistake was not classified",
        "neighbour": "the reference that the mask overlaps most beside its own",
        "neighbour_dice": "its Dice with that",
        "volume_ratio": "predicted by reference volume",
        "inside": "share of the mask inside the reference",
        "found": "share of the reference found",
        "shift_mm": "between the centres of mass of mask and reference",
        "mask": "the mask's file within the run folder",
    },
    "counts": {
        "dataset": "the dataset's name",
        "protocol": "the protocol's id",
        "model": "the model's label",
        "target": "the target",
        "modality": "CT, MR or PT",
        "kind": "as in the cases",
        "count": "predictions of this kind",
        "predictions": "predictions that were asked for",
        "share": "count by predictions",
    },
    "picks": {
        **dict.fromkeys(_KEY, "as in the predictions' table"),
        "pick": '"worst" or "median" by score, of the predictions with a mask of this model, target and modality',
        "metric": "the score's name",
        "score": "the score",
        "mask": "the mask's file within the run folder",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureAnalysis:
    """Frames with the columns of ``COLUMNS``."""

    cases: pd.DataFrame
    counts: pd.DataFrame
    picks: pd.DataFrame
    #: below this a prediction is poor
    poor: float


def find_failures(
    results: Results,
    *,
    poor: float = POOR,
    round_number: int | None = None,
    threads: int = 2,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> FailureAnalysis:
    """Classify every prediction that failed, or whose overlap score is below ``poor``, in its last round by default.

    ``progress`` is told (scans read, scans in all, which). ``unsupported`` is no failure and is left out. Where a run's
    dataset is not on this machine, or is another version, poor masks are "not classified" and the detail says why. Holds one
    scan's references and one mask in memory for each thread.
    """
    table = _predictions(results, round_number)
    failed = ~table["status"].isin([Status.OK, Status.UNSUPPORTED])
    bad = table[failed | (table["score"] < poor).fillna(value=False)].reset_index(drop=True)
    kinds = _classified(results, bad, threads, progress)
    cases = pd.concat([bad, kinds], axis=1)
    cases["kind"] = cases["kind"].where(
        cases["status"] == Status.OK, cases["status"].astype("string")
    )
    cases["detail"] = cases["detail"].fillna(cases.pop("reason"))
    return FailureAnalysis(
        cases=cases[list(COLUMNS["cases"])],
        counts=_counts(table, cases),
        picks=_picks(table),
        poor=poor,
    )


def _predictions(results: Results, number: int | None) -> pd.DataFrame:
    """Every prediction that was asked for, with its overlap score."""
    parts = []
    for group in results.groups():
        metric = next((name for name in OVERLAPS if name in group.protocol.metrics), None)
        scores = at_round(group.results.scores, number, group.protocol)
        scores = scores.loc[scores["metric"] == metric, [*_KEY, "value"]].rename(
            columns={"value": "score"}
        )
        own = at_round(group.results.predictions, number, group.protocol)
        own = own[~own["status"].isin(("not-run", "undefined"))]
        own = own.merge(scores, on=_KEY, how="left").assign(metric=metric)
        parts.append(
            own.astype(
                {
                    name: "string"
                    for name in (*_KEY, "status", "metric")
                    if name not in ("seed", "round")
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _classified(
    results: Results, bad: pd.DataFrame, threads: int, progress: Callable[[int, int, str], None]
) -> pd.DataFrame:
    """For each row of ``bad`` the kind and its figures, or why there is none."""
    told: dict[int, dict[str, Any]] = {}
    masks = bad[bad["status"] == Status.OK]
    jobs = []
    for run in results.runs:
        own = masks[masks["run"] == run.name]
        scans, why = _scans(run) if len(own) else ({}, "")
        for (case, modality), rows in own.groupby(["case", "modality"], observed=True):
            scan = scans.get((str(case), str(modality)))
            if scan is None:
                reason = why or "the dataset has no such scan"
                told.update({index: {"kind": UNTOLD, "reason": reason} for index in rows.index})
            else:
                jobs.append((run, scan, rows))
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="atlas") as pool:
        for number, made in enumerate(pool.map(lambda job: _scan_kinds(*job), jobs), 1):
            told.update(made)
            run, _, rows = jobs[number - 1]
            progress(
                number, len(jobs), f"{run.label} {rows['case'].iloc[0]} {rows['modality'].iloc[0]}"
            )
    columns = ("kind", *_FIGURES, "reason")
    frame = pd.DataFrame(
        [told.get(i, {}) for i in range(len(bad))], columns=list(columns), index=bad.index
    )
    return frame.astype(
        {
            name: "string" if name in ("kind", "neighbour", "reason") else "Float64"
            for name in columns
        }
    )


def _scans(run: RunFacts) -> tuple[dict[tuple[str, str], Scan], str]:
    """The scans of a run's dataset by case and modality; or none, and why."""
    try:
        dataset = load_dataset(run.info.dataset_source, run.info.root)
    except UserError as error:
        return {}, f"the references are not at hand: {error}"
    if dataset.sha256 != run.dataset_sha256:
        return {}, "the dataset here is another version than the run's"
    return {
        (case.id, str(name)): scan for case in dataset.cases for name, scan in case.scans.items()
    }, ""


def _scan_kinds(run: RunFacts, scan: Scan, rows: pd.DataFrame) -> dict[int, dict[str, Any]]:
    """The kinds of one scan's poor masks by row, from the cache or from the files."""
    record = run.store.record(rows["case"].iloc[0], scan.modality)
    assert record is not None
    wanted = {str(index): mask for index, mask in rows["mask"].items()}
    path = _kept_at(record, sorted(wanted.values()))
    kept = read_json(path)["kinds"] if path.exists() else None
    if kept is None:
        kept = dict(_read_kinds(run, scan, rows))
        # what could not be read may be back the next time
        if all(own["kind"] != UNTOLD for own in kept.values()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"kinds": kept})
    return {int(index): kept[mask] for index, mask in wanted.items()}


def _kept_at(record: ScanRecord, masks: list[str]) -> Path:
    """Where the kinds of one scan's masks are kept: the name changes with the masks, the references and the rules."""
    made = [mask.sha256 for mask in record.masks()]
    name = fingerprint(
        {
            "version": _VERSION,
            "key": record.key,
            "files": dict(record.files),
            "masks": masks,
            "made": made,
        }
    )
    return paths.cache() / "failures" / name[:2] / f"{name}.json"


def _read_kinds(
    run: RunFacts, scan: Scan, rows: pd.DataFrame
) -> Iterator[tuple[str, dict[str, Any]]]:
    references: Mapping[str, GridMask] | None = None
    for row in rows.itertuples(index=False):
        if row.voxels == 0:
            yield str(row.mask), {"kind": EMPTY}
            continue
        try:
            references = load_references(scan).masks if references is None else references
            array, grid = read_labels(run.path / str(row.mask))
        except (UserError, OSError) as error:
            yield str(row.mask), {"kind": UNTOLD, "reason": str(error)}
            continue
        if array.shape != next(iter(references.values())).grid.shape:
            yield (
                str(row.mask),
                {"kind": UNTOLD, "reason": "the mask is not on the references' grid"},
            )
            continue
        yield str(row.mask), asdict(classify(crop_mask(array, grid), references, str(row.target)))


def _counts(table: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    by = ["dataset", "protocol", "model", "target", "modality"]
    asked = table[table["status"] != Status.UNSUPPORTED]
    totals = asked.groupby(by).size().rename("predictions").reset_index()
    counts = cases.groupby([*by, "kind"]).size().rename("count").reset_index().merge(totals, on=by)
    counts["share"] = counts["count"] / counts["predictions"]
    order = {kind: number for number, kind in enumerate(KINDS)}
    counts["_order"] = counts["kind"].map(order).fillna(len(order))
    return counts.sort_values([*by, "_order", "kind"], ignore_index=True)[list(COLUMNS["counts"])]


def _picks(table: pd.DataFrame) -> pd.DataFrame:
    """Of each model, target and modality the prediction with the lowest score, and the one nearest to the median."""
    known = table[(table["status"] == Status.OK) & table["score"].notna()].sort_values(
        ["score", "case", "seed"]
    )
    rows = []
    for _, own in known.groupby(["dataset", "protocol", "model", "target", "modality"]):
        score = own["score"].to_numpy(dtype=np.float64)
        middle = int(np.argmin(np.abs(score - np.median(score))))
        for pick, at in (("worst", 0), ("median", middle)):
            rows.append(own.iloc[at].to_dict() | {"pick": pick})
    return pd.DataFrame(rows, columns=list(COLUMNS["picks"]))
