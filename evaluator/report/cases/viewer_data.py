"""Cases that are case_page: which, and what the viewer of each reads."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from evaluator.errors import VolumeError
from evaluator.report.cases.images import image_of, prediction_of, prompts_of
from evaluator.report.cases.selection import CasePage
from evaluator.report.cases.viewer_volumes import (
    Reduced,
    image_script,
    mask_header,
    masks_script,
    reduced,
)
from evaluator.report.site import slug
from evaluator.report.tables import rows_of
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.cases.images import CaseImages
    from evaluator.report.context import Report
    from evaluator.runs.results import RunFacts
    from evaluator.types import Case, Modality, TargetPrompt
    from zoo_sdk.wire import Point

logger = logging.getLogger(__name__)


def viewer_content(
    report: Report, case_images: CaseImages, case_page: CasePage
) -> dict[str, Any] | None:
    """What the viewer reads, with its volumes written; None where the images are not here."""
    case = case_images.case(case_page.runs[0][1], case_page.case)
    if case is None:
        return None
    stem = f"{slug(case_page.dataset)}-{slug(case_page.label)}"
    sizes: dict[Modality, Reduced] = {}
    scans = {}
    for modality in (name for name in MODALITIES if name in case.scans):
        try:
            scans[modality], sizes[modality] = _scan(report, case_images, case, modality, stem)
        except VolumeError as error:
            logger.info(
                f"{case_page.label} {modality} cannot be shown: {report.privacy.text(str(error))}"
            )
    runs = [
        content
        for benchmark, run in case_page.runs
        if (content := _run(report, benchmark, run, case_page, sizes, stem))["scans"]
    ]
    metric = case_page.runs[0][0].metric
    return {"scans": scans, "runs": runs, "metric": metric} if scans and runs else None


def _scan(
    report: Report, case_images: CaseImages, case: Case, modality: Any, stem: str
) -> tuple[dict[str, Any], Reduced]:
    image, grid = image_of(case.scans[modality].image)
    size = reduced(grid)
    key, masks = f"{stem}-{modality}", f"{stem}-{modality}-references"
    report.site.text(f"volumes/{key}.js", image_script(key, image, size, modality))
    report.site.text(
        f"volumes/{masks}.js",
        masks_script(masks, case_images.references(case.scans[modality]), size),
    )
    about = {
        "key": key,
        "script": f"../volumes/{key}.js",
        "references": {"key": masks, "script": f"../volumes/{masks}.js"},
        "unit": case.scans[modality].unit,
        "shape": list(size.grid.shape),
        "affine": [list(row) for row in size.grid.affine],
        "header": mask_header(size),
        "halved": not size.is_full_size,
    }
    return about, size


def _run(
    report: Report,
    benchmark: Benchmark,
    run: RunFacts,
    case_page: CasePage,
    sizes: Mapping[Modality, Reduced],
    stem: str,
) -> dict[str, Any]:
    seeds = {benchmark.protocol.seeds[0], *case_page.seeds.get(benchmark.key, ())}
    scores = benchmark.group.results.scores
    scores = scores[
        (scores["run"] == run.name)
        & (scores["case"] == case_page.case)
        & (scores["metric"] == benchmark.metric)
    ]
    scans = {
        modality: content
        for modality, size in sizes.items()
        if (
            content := _predictions(
                report,
                run,
                case_page,
                modality,
                size,
                seeds,
                scores,
                f"{stem}-{slug(run.label)}-{benchmark.protocol.id}",
            )
        )
    }
    stamped = ", random weights" if run.random_weights else ""
    return {"label": f"{run.label}, {benchmark.protocol.id}{stamped}", "scans": scans}


def _predictions(
    report: Report,
    run: RunFacts,
    case_page: CasePage,
    modality: Modality,
    size: Reduced,
    seeds: set[int],
    scores: pd.DataFrame,
    stem: str,
) -> dict[str, Any] | None:
    record = run.store.record(case_page.case, modality)
    if record is None or record.state != "done":
        return None
    selected = scores[scores["modality"] == modality]
    by_prediction = {(int(r.seed), int(r.round), str(r.target)): r for r in rows_of(selected)}
    entries, masks, added = [], {}, []
    for entry in record.rounds:
        if entry.seed not in seeds:
            continue
        for target, prediction in entry.targets.items():
            name = f"s{entry.seed}r{entry.round} {target}"
            mask = prediction_of(run, prediction.mask.file) if prediction.mask else None
            if mask is not None:
                masks[name] = mask
            score = by_prediction.get((entry.seed, entry.round, target))
            value = (
                None
                if score is None or score.value is None or str(score.value) == "<NA>"
                else float(score.value)
            )
            parts = {"seed": entry.seed, "round": entry.round, "target": target, "mask": name}
            detail = report.privacy.text(prediction.detail)[:300]
            entries.append(
                parts | {"score": value, "status": str(prediction.status), "detail": detail}
            )
        for target, points in entry.added.items():
            placed = [_point(point, size) for point in points]
            added.append(
                {"seed": entry.seed, "round": entry.round, "target": target, "points": placed}
            )
    if not entries:
        return None
    key = f"{stem}-{modality}"
    report.site.text(f"volumes/{key}.js", masks_script(key, masks, size))
    prompts = {}
    for seed, targets in prompts_of(run, case_page.case, modality).items():
        if seed in seeds:
            prompts[str(seed)] = {name: _prompt(prompt, size) for name, prompt in targets.items()}
    return {
        "key": key,
        "script": f"../volumes/{key}.js",
        "entries": entries,
        "prompts": prompts,
        "added": added,
    }


def _point(point: Point, size: Reduced) -> list[int]:
    index = [n // f for n, f in zip(point.index, size.factor, strict=True)]
    return [*index, int(point.foreground)]


def _prompt(prompt: TargetPrompt, size: Reduced) -> dict[str, Any]:
    ends = None
    if prompt.box:
        low = [n // f for n, f in zip(prompt.box.low, size.factor, strict=True)]
        high = [-(-n // f) for n, f in zip(prompt.box.high, size.factor, strict=True)]
        ends = [low, high]
    return {"points": [_point(point, size) for point in prompt.points], "box": ends}
