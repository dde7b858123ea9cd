"""Score any masks against references: pairs of files, read and scored in several threads."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evaluator.errors import VolumeError
from evaluator.files import fingerprint
from evaluator.imaging.geometry import affine_of, difference, spacing, to_index, to_world
from evaluator.metrics import METRICS, labels_in, measure_labels, score
from evaluator.scoring.applicability import applicable_measurements
from evaluator.types import ScoreStatus, Status
from evaluator.volumes import LabelFile, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluator.metrics import Measures
    from evaluator.scoring.file_pairs import Pair
    from zoo_sdk.wire import Grid

    Json = dict[str, Any]
    Labels = NDArray[np.integer[Any]]
    Targets = Mapping[str, tuple[int, ...]]

DEFAULT_METRICS = ("dice", "iou", "nsd", "hd", "hd95", "assd", "masd", "rve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How pairs are scored."""

    #: tolerance of a target by name, mm
    tolerance_mm: Callable[[str], float]
    #: name -> label values; None: every label that is in either file, under its number
    labels: Targets | None = None
    #: the same for predictions whose numbers differ
    prediction_labels: Targets | None = None
    metrics: tuple[str, ...] = DEFAULT_METRICS
    #: what to do with a prediction on another grid
    resample: Literal["no", "nearest"] = "no"


def score_pairs(
    pairs: Sequence[Pair],
    settings: Settings,
    *,
    threads: int | None = None,
    done: Mapping[str, str] | None = None,
) -> Iterator[tuple[Json, str]]:
    """Score pairs in several threads.

    Args:
        pairs: the files.
        settings: how they are scored.
        threads: threads in all; None: one for each core.
        done: name -> key of pairs that are skipped if their files and the settings are unchanged.

    Yields:
        One object for each pair and its key, in order. A pair that cannot be scored has "error"
        instead of "targets", and no key.
    """
    threads = threads or len(os.sched_getaffinity(0))
    together = min(threads, len(pairs)) or 1

    def score_one(pair: Pair) -> tuple[Json, str] | None:
        try:
            key = _key(pair, settings)
            if (done or {}).get(pair.name) == key:
                return None
            scores = score_pair(pair, settings, threads=threads // together)
        except (VolumeError, OSError) as error:
            return {"name": pair.name, "error": str(error)}, ""
        return {"name": pair.name} | scores, key

    with ThreadPoolExecutor(max_workers=together) as pool:
        waiting: deque[Future[tuple[Json, str] | None]] = deque()
        for pair in pairs:
            waiting.append(pool.submit(score_one, pair))
            if len(waiting) > 2 * together and (scored := waiting.popleft().result()):
                yield scored
        while waiting:
            if scored := waiting.popleft().result():
                yield scored


def score_pair(pair: Pair, settings: Settings, *, threads: int = 1) -> Json:
    """Scores of one pair: spacing, tolerances, and for each target its status, volumes and values.

    Raises:
        VolumeError: a file cannot be read, or the grids differ and ``settings.resample`` is "no".
    """
    if pair.prediction is None:
        return _missing(pair, settings)
    reference, prediction, grid = _read_pair(pair.reference, pair.prediction, settings, threads)
    targets, theirs = _targets(settings, pair.name, reference, prediction)
    tolerances = {name: settings.tolerance_mm(name) for name in targets}
    unit: Literal["SUVbw"] | None = "SUVbw" if pair.image else None
    step = spacing(affine_of(grid))[: reference.ndim]
    measured = measure_labels(
        reference, prediction, targets, step, tolerances, threads, theirs,
        measurements={
            name: applicable_measurements(settings.metrics, name, unit) for name in targets
        },
        image=_read_uptake(pair.image, grid).reshape(reference.shape) if pair.image else None,
    )  # fmt: skip
    entries = [
        {"name": name, "label": _label(targets[name])} | _values(measures, settings.metrics)
        for name, measures in measured.items()
    ]
    return {"spacing_mm": list(step), "tolerance_mm": tolerances, "targets": entries}


def _read_uptake(path: Path, grid: Grid) -> NDArray[np.float32]:
    """The PET image of a pair; datasets are imported only where there is one."""
    from evaluator.datasets.references import read_uptake

    return read_uptake(path, grid)


def resample_nearest(labels: NDArray[Any], source: Grid, target: Grid) -> NDArray[Any]:
    """Labels on another grid: each voxel has the label of the nearest source voxel; 0 outside."""
    resampled = np.zeros(target.shape, dtype=labels.dtype)
    j, k = np.meshgrid(np.arange(target.shape[1]), np.arange(target.shape[2]), indexing="ij")
    for i in range(target.shape[0]):  # slab by slab, so a whole-body volume fits in memory
        index = np.stack([np.full_like(j, i), j, k], axis=-1)
        places = to_index(affine_of(source), to_world(affine_of(target), index))
        nearest = np.floor(places + 0.5).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < source.shape)).all(axis=-1)
        resampled[i][inside] = labels[tuple(nearest[inside].T)]
    return resampled


def _read_pair(
    reference_path: Path, prediction_path: Path, settings: Settings, threads: int
) -> tuple[Labels, Labels, Grid]:
    """Labels of both files on the reference's grid.

    The grids are compared before reading voxels.
    """
    reference_file = LabelFile(reference_path, untrusted=False)
    grid, read = reference_file.grid, reference_file.read
    file = LabelFile(prediction_path, untrusted=True)
    mismatch = difference(grid, file.grid)
    if mismatch and settings.resample == "no":
        raise VolumeError(
            f"{prediction_path.name}: reference and prediction lie on different grids: {mismatch}. "
            "Resample the prediction, or allow it with --resample nearest"
        )
    if threads > 1:
        with ThreadPoolExecutor(max_workers=1) as pool:
            reading = pool.submit(file.read)
            reference, prediction = read(), reading.result()
    else:
        reference, prediction = read(), file.read()
    if mismatch:
        prediction = resample_nearest(prediction.reshape(file.grid.shape), file.grid, grid)
    # one of them may be an image of two axes, the other a volume of one slice
    return reference, prediction.reshape(reference.shape, order="F"), grid


def _missing(pair: Pair, settings: Settings) -> Json:
    file = LabelFile(pair.reference, untrusted=False)
    reference, grid = file.read(), file.grid
    targets, _ = _targets(settings, pair.name, reference, reference)
    entries = [
        {"name": name, "label": _label(values), "status": str(Status.MISSING)}
        for name, values in targets.items()
    ]
    step = spacing(affine_of(grid))[: reference.ndim]
    tolerances = {name: settings.tolerance_mm(name) for name in targets}
    return {"spacing_mm": list(step), "tolerance_mm": tolerances, "targets": entries}


def _targets(
    settings: Settings, name: str, reference: Labels, prediction: Labels
) -> tuple[Targets, Targets]:
    if settings.labels is not None:
        theirs = settings.prediction_labels or settings.labels
        return settings.labels, {target: theirs.get(target, ()) for target in settings.labels}
    try:
        present = sorted(set(labels_in(reference)) | set(labels_in(prediction)))
    except ValueError as error:
        raise VolumeError(f"{name}: {error}; is one of the files an image?") from None
    named = {name: (1,)} if present in ([1], []) else {str(value): (value,) for value in present}
    return named, named


def _label(values: Sequence[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _values(measures: Measures, metrics: Sequence[str]) -> Json:
    scores = score(measures, metrics)
    status = ScoreStatus.OK
    if measures.both_empty or measures.one_empty:
        status = ScoreStatus.UNDEFINED if measures.both_empty else ScoreStatus.ONE_EMPTY
    body: Json = {"status": str(status)}
    body |= {"reference_ml": measures.reference_ml, "prediction_ml": measures.prediction_ml}
    missing = []
    for metric_score in scores:
        name = metric_score.metric
        if metric_score.value is not None:
            suffix = "_mm" if METRICS[name].unit == "mm" else ""
            body[name + suffix] = metric_score.value
        if metric_score.status == ScoreStatus.NOT_APPLICABLE:
            missing.append(name)
    if missing:
        body["not_applicable"] = missing
    return body


def _key(pair: Pair, settings: Settings) -> str:
    """What a pair's scores depend on."""
    tolerances = {name: settings.tolerance_mm(name) for name in settings.labels or {"": ()}}
    files = (pair.reference, pair.prediction, pair.image)
    return fingerprint(
        {
            "files": [
                file_sha256(path) if path and path.is_file() else "missing" for path in files
            ],
            "labels": {name: list(values) for name, values in (settings.labels or {}).items()},
            "theirs": {
                name: list(values) for name, values in (settings.prediction_labels or {}).items()
            },
            "how": [list(settings.metrics), settings.resample, tolerances],
        }
    )[:16]
