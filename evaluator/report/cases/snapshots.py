"""Snapshots of predictions: three planes, and a projection for PET."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import VolumeError
from evaluator.imaging.geometry import affine_of, to_world
from evaluator.report.cases.images import image_of, prediction_of, prompts_of
from evaluator.report.cases.selection import Pick
from evaluator.report.cases.slices import Image, png_size, projection, three_planes
from evaluator.report.site import slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.report.benchmark import Benchmark
    from evaluator.report.cases.images import CaseImages
    from evaluator.report.cases.selection import CasePage
    from evaluator.report.context import Report
    from evaluator.runs.results import RunFacts

logger = logging.getLogger(__name__)

#: largest number of snapshots of one case
MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An image file and what it shows."""

    file: str
    pick: Pick
    benchmark: Benchmark
    #: page of its case
    page: str
    label: str
    #: width and height in pixels
    size: tuple[int, int]
    projection: bool = False


def draw_snapshots(
    report: Report, case_images: CaseImages, case_page: CasePage, picks: Sequence[Pick]
) -> list[Snapshot]:
    """Draw the picks of one case: three planes of each, and a projection of PET."""
    runs = {run.name: (benchmark, run) for benchmark, run in case_page.runs}
    picked = [pick for pick in picks if pick.case == case_page.case and pick.run in runs]
    snapshots, names = [], Counter[str]()
    for pick in picked[:MOST]:
        benchmark, run = runs[pick.run]
        arrays = _arrays(report, case_images, run, pick)
        if arrays is None:
            continue
        image, reference, prediction = arrays
        points, box = _placed(run, pick, image)
        parts = (pick.model, benchmark.protocol.id, pick.modality, pick.target)
        stem = f"{slug(case_page.dataset)}-{slug(case_page.label)}-{_stem(*parts)}"
        names[stem] += 1
        stem += f"-{names[stem]}" if names[stem] > 1 else ""
        contents = {
            f"images/{stem}.png": three_planes(
                image,
                pick.target,
                reference,
                prediction,
                points=points,
                box=box,
                warnings=benchmark.warnings,
            )
        }
        if pick.modality == "PT":
            contents[f"images/{stem}-mip.png"] = projection(
                image, reference, prediction, warnings=benchmark.warnings
            )
        for file, content in contents.items():
            report.site.bytes(file, content)
            snapshots.append(
                Snapshot(
                    file=file,
                    pick=pick,
                    benchmark=benchmark,
                    page=case_page.file,
                    label=case_page.label,
                    size=png_size(content),
                    projection=file.endswith("-mip.png"),
                )
            )
    return snapshots


def _stem(model: str, protocol: str, modality: str, target: str) -> str:
    return f"{slug(model)}-{protocol}-{modality}-{slug(target)}"


def _arrays(
    report: Report, case_images: CaseImages, run: RunFacts, pick: Pick
) -> tuple[Image, Any, Any] | None:
    case = case_images.case(run, pick.case)
    modality: Any = pick.modality
    if case is None or modality not in case.scans:
        return None
    try:
        array, grid = image_of(case.scans[modality].image)
        reference = case_images.references(case.scans[modality])[pick.target]
    except (VolumeError, KeyError) as error:
        logger.info(f"no snapshot of {pick.target}: {report.privacy.text(str(error))}")
        return None
    name = run.store.masks.name(
        pick.case, modality, seed=pick.seed, round_number=pick.round, target=pick.target
    )
    mask = prediction_of(run, name)
    full = (0, 0, 0), grid.shape
    image = Image(modality=modality, array=array, affine=affine_of(grid))
    return image, reference.crop(*full), None if mask is None else mask.crop(*full)


def _placed(
    run: RunFacts, pick: Pick, image: Image
) -> tuple[list[tuple[Any, bool]], tuple[Any, Any] | None]:
    """Return the points of all rounds up to the pick and the box's corners, in world mm."""
    modality: Any = pick.modality
    prompt = prompts_of(run, pick.case, modality).get(pick.seed, {}).get(pick.target)
    points = list(prompt.points) if prompt else []
    record = run.store.record(pick.case, modality)
    for entry in record.rounds if record else ():
        if entry.seed == pick.seed and entry.round <= pick.round:
            points += entry.added.get(pick.target, ())
    corners = None
    if prompt and prompt.box:
        low, high = (np.array(end) - 0.5 for end in (prompt.box.low, prompt.box.high))
        corners = (to_world(image.affine, low), to_world(image.affine, high))
    return [(np.array(point.ras_mm), point.foreground) for point in points], corners
