"""Score masks against references: while a run goes on, and again from its files at any later time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluator.applicable import check_metrics, needs, parts_for, read_uptake
from evaluator.datasets import load_dataset
from evaluator.errors import BadVolume, RunConflict
from evaluator.geometry import affine_of, difference, spacing
from evaluator.manifests.organs import load_organs
from evaluator.manifests.protocols import load_protocol
from evaluator.masks import common_region, crop_mask
from evaluator.metrics import PEAK_MM, measure, without_value
from evaluator.metrics import score as score_measures
from evaluator.prompts import crop_targets
from evaluator.store import Json, write_json
from evaluator.tables import gather
from evaluator.types import Failure, Score, ScoreStatus, Status
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from evaluator.masks import GridMask
    from evaluator.metrics import Measures, Part
    from evaluator.store import RunStore
    from evaluator.types import Case, Modality, Protocol, Scan
    from zoo_sdk.wire import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReferences:
    """A scan's references in memory: each target's mask, all on one grid."""

    grid: Grid
    masks: Mapping[str, GridMask]
    scan: Scan
    #: the scan's values, where a metric needs them and they have a meaning
    image: NDArray[np.float32] | None = None


def load_references(scan: Scan, metrics: Sequence[str] = ()) -> LoadedReferences:
    """Read a scan's references, and of a PET scan the image if one of these metrics needs it.

    Raises BadVolume when one cannot be read or they are on different grids.
    """
    grid: Grid | None = None
    masks: dict[str, GridMask] = {}
    for reference in scan.references:
        labels, own = read_labels(reference.path)
        apart = difference(grid, own) if grid else None
        if apart:
            raise BadVolume(f"{reference.path.name}: the references of one image lie on different grids: {apart}")
        grid = own
        masks.update(crop_targets(labels, own, reference.labels))
    if grid is None:
        raise BadVolume(f"{scan.image.name} has no reference")
    image = read_uptake(scan.image, grid) if scan.unit == "SUVbw" and "uptake" in needs(metrics) else None
    return LoadedReferences(grid=grid, masks=masks, scan=scan, image=image)


def score_masks(
    references: LoadedReferences, predictions: Mapping[str, GridMask | Failure], protocol: Protocol
) -> dict[str, tuple[Score, ...]]:
    """The protocol's scores of one round: of each prediction on the references' grid, or the failure's status."""
    scores = score_failures(
        {name: given for name, given in predictions.items() if isinstance(given, Failure)}, protocol, references.scan
    )
    for target, tolerance in tolerances(protocol, predictions).items():
        given = predictions[target]
        if not isinstance(given, Failure):
            parts = parts_for(protocol.metrics, target, references.scan.unit)
            measures = _measure(references, references.masks[target], given, tolerance, parts)
            scores[target] = score_measures(measures, protocol.metrics)
    return scores


def _measure(
    references: LoadedReferences, reference: GridMask, given: GridMask, tolerance_mm: float, parts: frozenset[Part]
) -> Measures:
    """Measure in the box about both masks, beyond which is nothing of either, so that the scores are the whole grid's."""
    low, high = common_region(reference, given)
    step, image = spacing(affine_of(references.grid)), None
    if "uptake" in parts:
        assert references.image is not None
        # what a peak's sphere holds of the image lies about the box
        reach = [int(PEAK_MM / length) for length in step]
        a, b, c = (max(0, l - r) for l, r in zip(low, reach, strict=True))
        d, e, f = (min(n, h + r) for n, h, r in zip(references.grid.shape, high, reach, strict=True))
        low, high = (a, b, c), (d, e, f)
        image = references.image[a:d, b:e, c:f]
    one, other = reference.region(low, high), given.region(low, high)
    return measure(one, other, step, tolerance_mm, parts=parts, image=image)


def tolerances(protocol: Protocol, targets: Mapping[str, object]) -> dict[str, float]:
    """The NSD tolerance of each target in millimetres: the protocol's one, or the organ's own."""
    organs = load_organs()
    return {target: protocol.nsd_tolerance_mm or organs.tolerance_mm(target) for target in targets}


def score_rows(seed: int, round_number: int, scores: Mapping[str, tuple[Score, ...]]) -> list[Json]:
    """Rows as they stand in a scan's score file."""
    return [
        {
            "seed": seed,
            "round": round_number,
            "target": target,
            "metric": score.metric,
            "value": score.value,
            "status": str(score.status),
        }
        for target, made in scores.items()
        for score in made
    ]


def rows_without_prompt(protocol: Protocol, scan: Scan, absent: Mapping[str, Mapping[str, str]]) -> list[Json]:
    """Rows of targets that could not be asked for, by seed: ``undefined`` where the reference is empty, else not run."""
    rows: list[Json] = []
    for seed, reasons in absent.items():
        for target, reason in reasons.items():
            status = ScoreStatus.UNDEFINED if reason == "empty-reference" else ScoreStatus.NOT_RUN
            rows += score_rows(int(seed), 0, {target: _without_value(protocol, scan, target, status)})
    return rows


def rows_not_run(protocol: Protocol, scan: Scan) -> list[Json]:
    """Rows of a scan whose data allow no fair question."""
    scores = {target: _without_value(protocol, scan, target, ScoreStatus.NOT_RUN) for target in scan.targets}
    return [row for seed in protocol.seeds for row in score_rows(seed, 0, scores)]


def score_run(run: RunStore, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Score a run's masks again from its files, without any model, and make its tables anew.

    Raises RunConflict when the dataset or the protocol is no longer what the run was made with.
    """
    about = run.about()
    dataset = load_dataset(about["dataset_source"], about["data_root"])
    protocol = load_protocol(about["protocol_source"])
    check_metrics(protocol.metrics)
    for name, now in (("dataset", dataset.sha256), ("protocol", protocol.sha256)):
        if about["identity"][f"{name}_sha256"] != now:
            raise RunConflict(f"the {name} has changed since run {run.name} was made; make a new run instead")
    cases = {case.id: case for case in dataset.cases}
    with run.writing():
        for record in run.records():
            case, modality = cases[record["case"]], record["modality"]
            score_record(run, record, case, modality, protocol)
            say(f"scored {case.id} {modality}")
        gather(run)


def score_record(run: RunStore, record: Json, case: Case, modality: Modality, protocol: Protocol) -> None:
    """Score one scan's recorded predictions from the mask files and write its score file."""
    scan = case.scans[modality]
    if record["state"] != "done":
        rows = rows_not_run(protocol, scan)
    else:
        rows = rows_without_prompt(protocol, scan, record["no_prompt"])
        references = (
            load_references(scan, protocol.metrics) if any(_has_mask(entry) for entry in record["rounds"]) else None
        )
        for entry in record["rounds"]:
            predictions = dict(_predictions(run, entry))
            if references is None:
                scores = score_failures(predictions, protocol, scan)
            else:
                scores = score_masks(references, predictions, protocol)
            rows += score_rows(entry["seed"], entry["round"], scores)
    write_scores(run, case.id, modality, record["key"], rows)


def score_failures(predictions: Mapping[str, Any], protocol: Protocol, scan: Scan) -> dict[str, tuple[Score, ...]]:
    """The scores of failed predictions alone, which need no reference."""
    return {target: _without_value(protocol, scan, target, failure.status) for target, failure in predictions.items()}


def _without_value(protocol: Protocol, scan: Scan, target: str, status: str) -> tuple[Score, ...]:
    return without_value(protocol.metrics, status, parts_for(protocol.metrics, target, scan.unit))


def write_scores(run: RunStore, case: str, modality: Modality, key: str, rows: list[Json]) -> None:
    """Write one scan's score file; ``key`` ties it to the record that it was made from."""
    write_json(run.score_path(case, modality), {"case": case, "modality": modality, "key": key, "rows": rows})


def _has_mask(entry: Json) -> bool:
    return any(target.get("mask") for target in entry["targets"].values())


def _predictions(run: RunStore, entry: Json) -> Iterator[tuple[str, GridMask | Failure]]:
    for target, made in entry["targets"].items():
        if made.get("mask"):
            yield target, crop_mask(*read_labels(run.path / made["mask"]["file"]))
        else:
            yield target, Failure(status=Status(made["status"]), detail=made["detail"])
