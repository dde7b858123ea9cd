"""Which predictions get a picture, and the pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.errors import BadVolume
from evaluator.geometry import affine_of, to_world
from evaluator.report.archive import image_of, prediction_of, prompts_of
from evaluator.report.frames import rows_of
from evaluator.report.pictures import Image, png_size, projection, three_planes
from evaluator.report.site import slug
from evaluator.store import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.failures import Atlas
    from evaluator.report.archive import Archive
    from evaluator.report.cases import Shown
    from evaluator.report.context import Report
    from evaluator.report.study import Study
    from evaluator.results import RunFacts

#: worst predictions of a model on a modality that are looked at, each of another kind
WORST = 2
#: pictures of one case, at most
MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A prediction worth a picture."""

    study: str
    run: str
    model: str
    case: str
    modality: str
    target: str
    seed: int
    round: int
    #: "worst" or "median"
    why: str
    #: of its mistake; empty for none
    kind: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A picture with what it shows."""

    file: str
    pick: Pick
    study: Study
    #: page of its case
    page: str
    label: str
    #: width and height in pixels
    size: tuple[int, int]
    projection: bool = False


def find_picks(studies: Sequence[Study], atlas: Atlas) -> list[Pick]:
    """The worst predictions of different kinds and a median one of each model and modality, models in turn."""
    kinds = {_key(row): str(row.kind) for row in rows_of(atlas.cases)}
    keys = {(study.group.dataset, study.protocol.id): study.key for study in studies}
    own: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in rows_of(atlas.picks):
        own[keys[row.dataset, row.protocol], row.model, row.modality].append(row)
    queues = [_best(study, rows, kinds) for (study, _, _), rows in own.items()]
    return [pick for turn in zip_longest(*queues) for pick in turn if pick]


def _best(study: str, rows: list[Any], kinds: dict[Any, str]) -> list[Pick]:
    chosen: list[Pick] = []
    seen: set[str] = set()
    for row in sorted((row for row in rows if row.pick == "worst"), key=lambda row: row.score):
        kind = kinds.get(_key(row), "")
        if kind not in seen and len(chosen) < WORST:
            chosen.append(_pick(study, row, kind))
            seen.add(kind)
    medians = sorted((row for row in rows if row.pick == "median"), key=lambda row: row.score)
    middle = medians[len(medians) // 2]
    return [*chosen, _pick(study, middle, kinds.get(_key(middle), ""))]


def _pick(study: str, row: Any, kind: str) -> Pick:
    return Pick(
        study=study, run=str(row.run), model=str(row.model), case=str(row.case), modality=str(row.modality),
        target=str(row.target), seed=int(row.seed), round=int(row.round), why=str(row.pick), kind=kind,
        score=float(row.score),
    )  # fmt: skip


def _key(row: Any) -> tuple[Any, ...]:
    return (row.run, row.case, row.modality, row.target, row.seed, row.round)


def draw_plates(report: Report, archive: Archive, shown: Shown, picks: Sequence[Pick]) -> list[Plate]:
    """The pictures of one case: three planes of each pick, and a projection where it is PET."""
    runs = {run.name: (study, run) for study, run in shown.runs}
    mine = [pick for pick in picks if pick.case == shown.case and pick.run in runs]
    plates, names = [], Counter[str]()
    for pick in mine[:MOST]:
        study, run = runs[pick.run]
        drawn = _drawable(report, archive, run, pick)
        if drawn is None:
            continue
        image, reference, prediction = drawn
        points, box = _placed(run, pick, image)
        stem = f"{slug(shown.dataset)}-{slug(shown.label)}-{slug(pick.model)}-{study.protocol.id}-{pick.modality}-{slug(pick.target)}"
        names[stem] += 1
        stem += f"-{names[stem]}" if names[stem] > 1 else ""
        contents = {
            f"images/{stem}.png": three_planes(
                image, pick.target, reference, prediction, points=points, box=box, stamps=study.stamps
            )
        }
        if pick.modality == "PT":
            contents[f"images/{stem}-mip.png"] = projection(image, reference, prediction, stamps=study.stamps)
        for file, content in contents.items():
            report.site.bytes(file, content)
            plates.append(
                Plate(
                    file=file, pick=pick, study=study, page=shown.file, label=shown.label, size=png_size(content),
                    projection=file.endswith("-mip.png"),
                )
            )  # fmt: skip
    return plates


def _drawable(report: Report, archive: Archive, run: RunFacts, pick: Pick) -> tuple[Image, Any, Any] | None:
    case = archive.case(run, pick.case)
    modality: Any = pick.modality
    if case is None or modality not in case.scans:
        return None
    try:
        array, grid = image_of(case.scans[modality].image)
        reference = archive.references(case.scans[modality])[pick.target]
    except (BadVolume, KeyError) as error:
        report.say(f"no picture of {pick.target}: {report.privacy.text(str(error))}")
        return None
    file = run.store.mask_path(pick.case, modality, seed=pick.seed, round_number=pick.round, target=pick.target)
    made = prediction_of(run, str(file.relative_to(run.path))) if file.is_file() else None
    whole = (0, 0, 0), grid.shape
    image = Image(modality=modality, array=array, affine=affine_of(grid))
    return image, reference.region(*whole), None if made is None else made.region(*whole)


def _placed(run: RunFacts, pick: Pick, image: Image) -> tuple[list[tuple[Any, bool]], tuple[Any, Any] | None]:
    """The prompts of a pick in world millimetres: points of all rounds so far, and the box's corners."""
    body = prompts_of(run, pick.case, pick.modality).get(str(pick.seed), {}).get(pick.target, {})
    points = [*body.get("points", ())]
    path = run.store.record_path(pick.case, pick.modality)  # type: ignore[arg-type]
    for entry in read_json(path).get("rounds", ()) if path.is_file() else ():
        if entry["seed"] == pick.seed and entry["round"] <= pick.round:
            points += entry.get("added", {}).get(pick.target, ())
    box = body.get("box")
    corners = None
    if box:
        low, high = (np.array(box[end]) - 0.5 for end in ("low", "high"))
        corners = (to_world(image.affine, low), to_world(image.affine, high))
    return [(np.array(point["ras_mm"]), point["foreground"]) for point in points], corners
