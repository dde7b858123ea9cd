"""Score any masks against references: two files, or two folders whose files have the same names."""

from __future__ import annotations

import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.errors import BadManifest, BadVolume, UserError
from evaluator.geometry import affine_of, difference, spacing, to_index, to_world
from evaluator.metrics import METRICS, measure_labels, measure_lesions, score
from evaluator.store import fingerprint
from evaluator.types import ScoreStatus, Status
from evaluator.volumes import file_sha256, read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.metrics import Measures
    from zoo_sdk.wire import Grid

    Json = dict[str, Any]

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")
DEFAULT_METRICS = ("dice", "iou", "nsd", "hd", "hd95", "assd", "masd", "rve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How pairs are scored."""

    #: tolerance of a target by name, mm
    tolerance_mm: Callable[[str], float]
    #: name -> label values; None: every label that is in either file, under its number
    labels: Mapping[str, tuple[int, ...]] | None = None
    #: the same for predictions whose numbers differ
    prediction_labels: Mapping[str, tuple[int, ...]] | None = None
    metrics: tuple[str, ...] = DEFAULT_METRICS
    #: what to do with a prediction on another grid
    resample: Literal["no", "nearest"] = "no"
    lesions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A reference and what was predicted for it, if anything was."""

    name: str
    reference: Path
    prediction: Path | None = field(default=None)


def find_pairs(prediction: Path, reference: Path) -> tuple[list[Pair], list[str]]:
    """Two files make one pair; two folders one for each reference, and the names of predictions without a reference.

    Raises UserError for a file against a folder, for a folder without volumes, and for two files of one name.
    """
    if prediction.is_dir() != reference.is_dir():
        raise UserError(f"{prediction} and {reference}: give two files or two folders")
    if not reference.is_dir():
        return [Pair(name=stem(reference), reference=reference, prediction=prediction)], []
    theirs, ours = _volumes(prediction), _volumes(reference)
    if not ours:
        raise UserError(f"{reference} holds no volume ({', '.join(SUFFIXES)})")
    pairs = [Pair(name=name, reference=path, prediction=theirs.get(name)) for name, path in ours.items()]
    return pairs, sorted(theirs.keys() - ours.keys())


def read_label_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Names of labels from JSON: ``{"liver": 5}``, ``{"5": "liver"}``, or an nnU-Net dataset.json. Raises BadManifest."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        table = body.get("labels", body)
        names: dict[str, tuple[int, ...]] = {}
        for key, value in table.items():
            if isinstance(value, str):
                names[value] = (*names.get(value, ()), int(key))
            else:
                names[key] = tuple(int(one) for one in value) if isinstance(value, list) else (int(value),)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadManifest(f'{path}: no table of labels such as {{"liver": 5}} or {{"5": "liver"}}: {error}') from None
    return {name: values for name, values in names.items() if values != (0,)}


def score_pairs(
    pairs: Sequence[Pair], settings: Settings, *, threads: int | None = None, done: Mapping[str, str] | None = None
) -> Iterator[Json]:
    """One object for each pair, in order, while others are read and scored in ``threads`` threads.

    ``done``: name -> key of pairs that need not be scored again, if their files and the settings are the same; those
    are left out. A pair that cannot be scored has "error" instead of "targets".
    """
    workers = threads or os.cpu_count() or 1

    def one(pair: Pair) -> Json | None:
        try:
            key = _key(pair, settings)
            return (
                None
                if (done or {}).get(pair.name) == key
                else {"name": pair.name} | score_pair(pair, settings) | {"key": key}
            )
        except (BadVolume, OSError) as error:
            return {"name": pair.name, "error": str(error)}

    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting: deque[Future[Json | None]] = deque()
        for pair in pairs:
            waiting.append(pool.submit(one, pair))
            if len(waiting) > 2 * workers and (made := waiting.popleft().result()):
                yield made
        while waiting:
            if made := waiting.popleft().result():
                yield made


def score_pair(pair: Pair, settings: Settings) -> Json:
    """Scores of one pair: spacing, tolerances, and for each target its status, volumes and values.

    Raises BadVolume when a file cannot be read, or the grids differ and ``settings.resample`` does not allow for it.
    """
    reference, grid = read_labels(pair.reference)
    step = spacing(affine_of(grid))
    if pair.prediction is None:
        targets, _ = _targets(settings, pair.name, reference, reference)
        entries = [
            {"name": name, "label": _label(values), "status": str(Status.MISSING)} for name, values in targets.items()
        ]
        return {"spacing_mm": list(step), "tolerance_mm": {}, "targets": entries}
    prediction, own = read_labels(pair.prediction)
    if apart := difference(grid, own):
        if settings.resample == "no":
            raise BadVolume(
                f"{pair.name}: reference and prediction lie on different grids: {apart}. "
                "Resample the prediction, or allow it with --resample nearest"
            )
        prediction = resample_nearest(prediction, own, grid)
    targets, theirs = _targets(settings, pair.name, reference, prediction)
    tolerances = {name: settings.tolerance_mm(name) for name in targets}
    measured = measure_labels(reference, prediction, targets, step, tolerances, prediction_targets=theirs)
    entries = []
    for name, measures in measured.items():
        entry: Json = {"name": name, "label": _label(targets[name])} | _values(measures, settings.metrics)
        if settings.lesions:
            entry["lesions"] = _lesions(np.isin(reference, targets[name]), np.isin(prediction, theirs[name]), step)
        entries.append(entry)
    return {"spacing_mm": list(step), "tolerance_mm": tolerances, "targets": entries}


def resample_nearest(labels: NDArray[Any], own: Grid, wanted: Grid) -> NDArray[Any]:
    """Labels on another grid, each voxel that of the nearest one; 0 outside."""
    out = np.zeros(wanted.shape, dtype=labels.dtype)
    j, k = np.meshgrid(np.arange(wanted.shape[1]), np.arange(wanted.shape[2]), indexing="ij")
    for i in range(wanted.shape[0]):  # a slab at a time, so that a whole-body volume fits in memory
        index = np.stack([np.full_like(j, i), j, k], axis=-1)
        at = np.floor(to_index(affine_of(own), to_world(affine_of(wanted), index)) + 0.5).astype(np.int64)
        inside = ((at >= 0) & (at < own.shape)).all(axis=-1)
        out[i][inside] = labels[tuple(at[inside].T)]
    return out


def stem(path: Path) -> str:
    """A volume's name without its suffix."""
    return next((path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end)), path.stem)


def _volumes(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(SUFFIXES) and not path.name.startswith("."):
            if stem(path) in found:
                raise UserError(f"{folder} holds {found[stem(path)].name} and {path.name}: two volumes of one name")
            found[stem(path)] = path
    return found


def _targets(settings: Settings, name: str, reference: NDArray[Any], prediction: NDArray[Any]) -> Any:
    if settings.labels is not None:
        theirs = settings.prediction_labels or settings.labels
        return settings.labels, {target: theirs.get(target, ()) for target in settings.labels}
    present = sorted({int(v) for array in (reference, prediction) for v in np.unique(array)} - {0})
    named = {name: (1,)} if present in ([1], []) else {str(value): (value,) for value in present}
    return named, named


def _label(values: Sequence[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _values(measures: Measures, metrics: Sequence[str]) -> Json:
    scores = score(measures, metrics)
    statuses = {str(one.status) for one in scores if one.value is None}
    body: Json = {"status": next(iter(statuses), str(ScoreStatus.OK))}
    body |= {"reference_ml": measures.reference_ml, "prediction_ml": measures.prediction_ml}
    for one in scores:
        if one.value is not None:
            body[one.metric + ("_mm" if METRICS[one.metric].unit == "mm" else "")] = one.value
    return body


def _lesions(reference: NDArray[Any], prediction: NDArray[Any], step: Sequence[float]) -> Json:
    found = measure_lesions(reference, prediction, step)
    body = {
        "reference": found.reference, "prediction": found.prediction, "matched": found.matched, "false": found.false,
        "missed": found.missed, "false_ml": found.false_ml, "missed_ml": found.missed_ml, "f1": found.f1,
        "panoptic_quality": found.panoptic_quality,
    }  # fmt: skip
    return {key: value for key, value in body.items() if value is not None}


def _key(pair: Pair, settings: Settings) -> str:
    """What a pair's scores depend on."""
    tolerances = {name: settings.tolerance_mm(name) for name in settings.labels or {"": ()}}
    return fingerprint(
        {
            "files": [file_sha256(path) if path else "missing" for path in (pair.reference, pair.prediction)],
            "labels": {name: list(values) for name, values in (settings.labels or {}).items()},
            "theirs": {name: list(values) for name, values in (settings.prediction_labels or {}).items()},
            "how": [list(settings.metrics), settings.resample, settings.lesions, tolerances],
        }
    )[:16]
