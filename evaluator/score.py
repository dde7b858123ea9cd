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
from evaluator.metrics import measure_masks, without_value
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

    from evaluator.prompts import GridMask
    from evaluator.store import RunStore
    from evaluator.types import Case, Modality, Protocol, Scan
    from zoo_sdk.wire import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReferences:
    """A scan's references in memory: label maps on one grid, and which labels make up which target."""

    grid: Grid
    maps: tuple[tuple[NDArray[Any], Mapping[str, tuple[int, ...]]], ...]
    scan: Scan
    #: the scan's values, where a metric needs them and they have a meaning
    image: NDArray[np.float32] | None = None

    def masks(self) -> dict[str, GridMask]:
        """Each target's mask, cropped."""
        masks: dict[str, GridMask] = {}
        for labels, targets in self.maps:
            masks.update(crop_targets(labels, self.grid, targets))
        return masks


def load_references(scan: Scan, metrics: Sequence[str] = ()) -> LoadedReferences:
    """Read a scan's references, and of a PET scan the image if one of these metrics needs it.

    Raises BadVolume when one cannot be read or they are on different grids.
    """
    grid: Grid | None = None
    maps = []
    for reference in scan.references:
        labels, own = read_labels(reference.path)
        apart = difference(grid, own) if grid else None
        if apart:
            raise BadVolume(f"{reference.path.name}: the references of one image lie on different grids: {apart}")
        grid = own
        maps.append((labels, reference.labels))
    if grid is None:
        raise BadVolume(f"{scan.image.name} has no reference")
    image = read_uptake(scan.image, grid) if scan.unit == "SUVbw" and "uptake" in needs(metrics) else None
    return LoadedReferences(grid=grid, maps=tuple(maps), scan=scan, image=image)


def score_masks(
    references: LoadedReferences,
    predictions: Mapping[str, NDArray[np.uint8] | Failure],
    protocol: Protocol,
    *,
    threads: int = 1,
) -> dict[str, tuple[Score, ...]]:
    """The protocol's scores of one round: of each prediction on the references' grid, or the failure's status."""
    failures = {target: given for target, given in predictions.items() if isinstance(given, Failure)}
    scores = score_failures(failures, protocol, references.scan)
    masks = {target: given for target, given in predictions.items() if not isinstance(given, Failure)}
    step = spacing(affine_of(references.grid))
    for labels, targets in references.maps:
        asked = {target: values for target, values in targets.items() if target in masks}
        measured = measure_masks(
            labels,
            asked,
            {target: masks[target] for target in asked},
            step,
            tolerances(protocol, asked),
            threads=threads,
            parts={target: parts_for(protocol.metrics, target, references.scan.unit) for target in asked},
            image=references.image,
        )
        scores.update({target: score_measures(measures, protocol.metrics) for target, measures in measured.items()})
    return scores


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


def _predictions(run: RunStore, entry: Json) -> Iterator[tuple[str, NDArray[Any] | Failure]]:
    for target, made in entry["targets"].items():
        if made.get("mask"):
            yield target, read_labels(run.path / made["mask"]["file"])[0]
        else:
            yield target, Failure(status=Status(made["status"]), detail=made["detail"])
