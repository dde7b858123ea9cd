"""Uptake and lesions of every prediction on PET, for the page that nuclear medicine reads.

Masks and references are read one scan at a time. The measurements of a scan are kept in the cache,
so a second report reads no mask again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator import paths
from evaluator.analysis.run_dataset import dataset_of
from evaluator.datasets.references import load_references
from evaluator.errors import UserError
from evaluator.files import fingerprint, read_json, write_json
from evaluator.imaging.geometry import affine_of, difference, spacing
from evaluator.imaging.grid_masks import common_region, empty_mask
from evaluator.metrics.lesions import list_lesions
from evaluator.metrics.metric_table import METRICS
from evaluator.runs.tables import last_round
from evaluator.scoring.masks import measure_prediction
from evaluator.types import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.results import Group, RunFacts
    from evaluator.types import Scan

    Row = dict[str, Any]

#: quantity -> field of a region's uptake
QUANTITIES = {
    "MTV": "ml",
    "TLG": "glycolysis",
    "SUVmean": "mean",
    "SUVmax": "max",
    "SUVpeak": "peak",
}
UNITS = {"MTV": "ml", "TLG": "SUV ml", "SUVmean": "SUV", "SUVmax": "SUV", "SUVpeak": "SUV"}

#: lower bounds of the size bins of lesions, ml
BINS = (0.0, 1.0, 5.0, 20.0)
BIN_NAMES = ("below 1 ml", "1 to 5 ml", "5 to 20 ml", "20 ml and more")

#: version of the measurements; a change invalidates the cache
_VERSION = 1
_KEY = ["run", "model", "subject", "case", "target", "seed"]

COLUMNS = {
    "uptake": {
        **dict.fromkeys(_KEY, "as in the table of predictions"),
        "quantity": "MTV (ml), TLG (SUV ml), SUVmean, SUVmax or SUVpeak (SUV)",
        "reference": "value in the reference's region",
        "predicted": "value in the predicted region; NA: no mask, or no value in an empty one",
    },
    "lesions": {
        **dict.fromkeys(_KEY, "as in the table of predictions"),
        "kind": "reference: a component of the reference; false: a predicted one that touches none",
        "ml": "volume of the component",
        "touched": "a predicted voxel lies in it; false if there is no mask",
        "matched": "its IoU with a predicted component is above 0.5; false if there is no mask",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PetLesions:
    """Tables with the columns of ``COLUMNS``, of one benchmark's last rounds on PET."""

    uptake: pd.DataFrame
    lesions: pd.DataFrame
    #: why scans are left out, as sentences without ids
    problems: tuple[str, ...]


def wants_pet_lesions(group: Group) -> bool:
    """Whether the protocol measures uptake, and the runs have PET."""
    names = group.protocol.metrics
    measures_uptake = any(METRICS[name].measurement == "uptake" for name in names)
    return measures_uptake and bool((group.results.predictions["modality"] == "PT").any())


def measure_pet_lesions(group: Group) -> PetLesions:
    """Measure uptake and lesions of every requested prediction on PET in SUV."""
    predictions = last_round(group.results.predictions)
    predictions = predictions[predictions["modality"] == "PT"]
    requested = ~predictions["status"].isin(("not-run", "undefined", Status.UNSUPPORTED))
    uptake: list[Row] = []
    lesions: list[Row] = []
    problems: dict[str, None] = {}
    for run in group.results.runs:
        rows = predictions[requested & (predictions["run"] == run.name)]
        scans, problem = _scans(run) if len(rows) else ({}, "")
        if problem:
            problems[f"{run.label}: {problem}"] = None
        for case, of_scan in rows.groupby("case", observed=True):
            scan = scans.get(str(case))
            if scan is None:
                continue
            if scan.unit != "SUVbw":
                problems[f"{run.label}: PET that is not in SUV is left out"] = None
                continue
            try:
                measured = _scan_measurements(run, scan, of_scan)
            except (UserError, OSError):
                problems[f"{run.label}: files that cannot be read are left out"] = None
                continue
            for row in of_scan.itertuples():
                key = {name: _plain(getattr(row, name)) for name in _KEY}
                values = measured[f"{row.target} {row.seed}"]
                uptake += [key | entry for entry in values["uptake"]]
                lesions += [key | entry for entry in values["lesions"]]
    return PetLesions(
        uptake=pd.DataFrame(uptake, columns=list(COLUMNS["uptake"])),
        lesions=pd.DataFrame(lesions, columns=list(COLUMNS["lesions"])),
        problems=tuple(problems),
    )


def size_bin(ml: float) -> str:
    """The size bin of a lesion of this volume."""
    return BIN_NAMES[int(np.searchsorted(BINS, ml, side="right")) - 1]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else str(value)


def _scans(run: RunFacts) -> tuple[dict[str, Scan], str]:
    """The PET scans of a run's dataset by case; or none, and the reason."""
    try:
        dataset = dataset_of(run)
    except UserError as error:
        return {}, str(error).partition(":")[0]  # the rest may name files, which a report withholds
    return {case.id: case.scans["PT"] for case in dataset.cases if "PT" in case.scans}, ""


def _scan_measurements(run: RunFacts, scan: Scan, rows: pd.DataFrame) -> Mapping[str, Any]:
    """Uptake and lesions of one scan by target and seed, from the cache or the files."""
    record = run.store.record(str(rows["case"].iloc[0]), scan.modality)
    assert record is not None
    source = {
        "version": _VERSION,
        "key": record.key,
        "files": dict(record.files),
        "hashes": [mask.sha256 for mask in record.masks()],
        "rows": sorted(f"{row.target} {row.seed} {row.mask}" for row in rows.itertuples()),
    }
    name = fingerprint(source)
    path = paths.cache() / "pet-lesions" / name[:2] / f"{name}.json"
    if path.exists():
        return dict(read_json(path)["predictions"])
    references = load_references(scan, with_image=True)
    measured = {}
    for row in rows.itertuples():
        mask = str(row.mask) if row.status == Status.OK else None
        target = references.masks[str(row.target)]
        prediction = _read_mask(run, mask, target)
        entry = _uptake_rows(references, target, prediction), _lesion_rows(target, prediction)
        measured[f"{row.target} {row.seed}"] = dict(zip(("uptake", "lesions"), entry, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"predictions": measured})
    return measured


def _read_mask(run: RunFacts, name: str | None, reference: GridMask) -> GridMask | None:
    if name is None:
        return None
    mask = run.store.masks.read_mask(name)
    if difference(mask.grid, reference.grid):
        raise UserError("a mask is not on the grid of the references")
    return mask


def _uptake_rows(references: Any, reference: GridMask, prediction: GridMask | None) -> list[Row]:
    """One row for each quantity; quantities without a value in an empty region are None."""
    mask = empty_mask(reference.grid) if prediction is None else prediction
    measures = measure_prediction(references, reference, mask, 1.0, frozenset({"uptake"}))
    rows = []
    for quantity, field in QUANTITIES.items():
        row: Row = {"quantity": quantity, "reference": None, "predicted": None}
        # nothing is measured where both masks are empty
        if measures.uptake is not None:
            regions = {"reference": measures.uptake.reference}
            if prediction is not None:
                regions["predicted"] = measures.uptake.prediction
            for name, region in regions.items():
                is_defined = region.ml > 0 or quantity in ("MTV", "TLG")
                row[name] = float(getattr(region, field)) if is_defined else None
        rows.append(row)
    return rows


def _lesion_rows(reference: GridMask, prediction: GridMask | None) -> list[Row]:
    """One row for each reference component, and for each false predicted one."""
    mask = empty_mask(reference.grid) if prediction is None else prediction
    low, high = common_region(reference, mask)
    step = spacing(affine_of(reference.grid))
    sizes = asdict(list_lesions(reference.crop(low, high), mask.crop(low, high), step))
    rows = []
    found = zip(sizes["reference_ml"], sizes["touched"], sizes["matched"], strict=True)
    for ml, touched, matched in found:
        rows.append({"kind": "reference", "ml": ml, "touched": touched, "matched": matched})
    for ml in sizes["false_ml"]:
        rows.append({"kind": "false", "ml": ml, "touched": None, "matched": None})
    return rows
