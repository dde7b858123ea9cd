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
from evaluator.imaging.geometry import affine_of, sheared_axes
from evaluator.metrics.metric_table import METRICS
from evaluator.metrics.registry import SCORER_VERSION, score
from evaluator.metrics.target_measurement import measure_labels
from evaluator.scoring.applicability import applicable_measurements
from evaluator.scoring.pair_targets import declared_targets, found_targets
from evaluator.scoring.pair_volumes import read_pair
from evaluator.types import ScoreStatus, Status
from evaluator.volumes import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.metrics.measurements import Measures
    from evaluator.scoring.file_pairs import Pair
    from evaluator.scoring.pair_targets import PairTargets
    from evaluator.scoring.pair_volumes import PairVolumes

    Json = dict[str, Any]
    Targets = Mapping[str, tuple[int, ...]]

MOST_MEDIAN_SUV, MOST_SUV = 20.0, 1000.0
"""An image with larger values is not in SUV; the same limits as of ``umd data verify``."""

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
    #: labels of the reference whose voxels are not scored
    ignored: tuple[int, ...] = ()
    #: without ``labels``: label 1 is called by the file's name instead of "1"
    named_by_file: bool = True
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

    What a user should know about the pair stands under "warnings", if there is anything.

    Raises:
        VolumeError: a file cannot be read, or the grids differ and ``settings.resample`` is "no".
    """
    volumes = read_pair(
        pair.reference,
        pair.prediction,
        resample=settings.resample == "nearest",
        ignored=settings.ignored,
        threads=threads,
    )
    targets = _targets(pair, settings, volumes)
    tolerances = {name: settings.tolerance_mm(name) for name in targets.reference}
    body: Json = {"spacing_mm": list(volumes.spacing_mm), "tolerance_mm": tolerances}
    if pair.prediction is None:
        return body | {"targets": _missing(targets)}
    image = _uptake(pair, volumes)
    unit: Literal["SUVbw"] | None = None if image is None else "SUVbw"
    measurements = {
        name: applicable_measurements(settings.metrics, name, unit) for name in targets.reference
    }
    measured = measure_labels(
        volumes.reference, volumes.prediction, targets.reference, volumes.spacing_mm, tolerances,
        threads, targets.prediction, measurements=measurements, image=image,
        sheared_axes=sheared_axes(affine_of(volumes.grid), volumes.axes),
    )  # fmt: skip
    body["targets"] = [
        {"name": name, "label": _label(targets.reference[name])}
        | _values(measures, settings.metrics)
        for name, measures in measured.items()
    ]
    warnings = [*volumes.warnings, *targets.warnings, *_image_warnings(image)]
    return body | ({"warnings": warnings} if warnings else {})


def _targets(pair: Pair, settings: Settings, volumes: PairVolumes) -> PairTargets:
    if settings.labels is not None:
        return declared_targets(settings.labels, settings.prediction_labels)
    return found_targets(pair.name, volumes, by_file=settings.named_by_file)


def _missing(targets: PairTargets) -> list[Json]:
    return [
        {"name": name, "label": _label(values), "status": str(Status.MISSING)}
        for name, values in targets.reference.items()
    ]


def _uptake(pair: Pair, volumes: PairVolumes) -> NDArray[np.float32] | None:
    """The PET image of a pair in the shape of its label maps; None without one."""
    if pair.image is None:
        return None
    # datasets are imported only where there is an image
    from evaluator.datasets.references import read_uptake

    return read_uptake(pair.image, volumes.grid).reshape(volumes.reference.shape, order="F")


def _image_warnings(image: NDArray[np.float32] | None) -> list[str]:
    if image is None or not image.size:
        return []
    middle, high = float(np.median(image)), float(image.max())
    if middle <= MOST_MEDIAN_SUV and high <= MOST_SUV:
        return []
    warning = (
        f"the image has median {middle:g} and maximum {high:g}, which do not look like SUV: is it "
        "in Bq/ml? Metrics of uptake need SUV"
    )
    return [warning]


def _label(values: Sequence[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _values(measures: Measures, metrics: Sequence[str]) -> Json:
    scores = score(measures, metrics)
    status = ScoreStatus.OK
    if measures.both_empty or measures.one_empty:
        status = ScoreStatus.UNDEFINED if measures.both_empty else ScoreStatus.ONE_EMPTY
    body: Json = {"status": str(status)}
    if measures.plane:
        body |= {"reference_mm2": measures.reference_mm2}
        body |= {"prediction_mm2": measures.prediction_mm2}
    else:
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
            "rules": [SCORER_VERSION, list(settings.ignored), settings.named_by_file],
        }
    )[:16]
