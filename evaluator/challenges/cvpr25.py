"""The CVPR 2025 interactive challenge's own totals of a run under its protocol, image by image and over each modality.

Of an image and round the challenge takes the mean Dice and the mean NSD over the organs that the reference holds, a
missing mask as 0, and NSD as 0 where the mean Dice is 0.2 or less; then the area under both over the five click rounds
(trapezoids, at most 4), and both of the last round. Images whose run failed count with their zeros, where the challenge's
script drops them. Source: JunMa11/CVPR-MedSegFMCompetition 748e862 CVPR25_iter_eval.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Scores = Sequence[float | None]

from statistics import fmean
from typing import TYPE_CHECKING, Any

from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import read_scores

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.files import Json
    from evaluator.runs.store import RunStore

TOTALS = ("dsc_auc", "nsd_auc", "dsc_final", "nsd_final", "seconds")


def challenge_totals(run: RunStore) -> list[Json]:
    """One object for each model x modality, with the means of ``TOTALS`` and, under ``images``, those of each image.

    ``seconds`` are the evaluator's, all rounds of an image together, without the model's load. Empty for a run under
    another protocol.
    """
    rounds = load_protocol(run.info().protocol_source).rounds
    if rounds.click_rule != "cvpr25":
        return []
    frame = read_scores(run)
    frame = frame[~frame["status"].isin(["undefined", "not-run"])]
    seconds: dict[Any, float] = {}
    for record in run.records():
        durations = [entry.seconds or 0.0 for entry in record.rounds]
        seconds[record.case, record.modality] = sum(durations)
    entries = []
    for (model, modality), group in frame.groupby(["model", "modality"], sort=True):
        images = []
        by_image: Any = group.groupby(["case", "seed"], sort=True)
        for (case, seed), image in by_image:
            if not (image["status"] == "unsupported").all():
                totals = _image_totals(image, rounds.count) | {
                    "seconds": round(seconds[case, modality], 4)
                }
                images.append({"case": case, "seed": int(seed)} | totals)
        if images:
            means = {name: round(fmean(image[name] for image in images), 6) for name in TOTALS}
            named = {"challenge": "cvpr25", "model": model, "modality": modality, "n": len(images)}
            entries.append(named | means | {"images": images})
    return entries


def _image_totals(image: pd.DataFrame, count: int) -> dict[str, float]:
    """The totals of one image's rows."""
    dice, nsd = [], []
    for number in range(count):
        of_round = image[image["round"] == number]
        mean_dice, mean_nsd = (
            _mean(of_round[of_round["metric"] == metric]) for metric in ("dice", "nsd")
        )
        dice.append(mean_dice)
        nsd.append(cvpr25_nsd(mean_dice, mean_nsd))
    totals = {
        "dsc_auc": cvpr25_area(dice),
        "nsd_auc": cvpr25_area(nsd),
        "dsc_final": dice[-1],
        "nsd_final": nsd[-1],
    }
    return {name: round(value, 6) for name, value in totals.items()}


def _mean(rows: Any) -> float:
    """Mean over organs, a failed one as 0."""
    values = [float(row.value) if row.status == "ok" else 0.0 for row in rows.itertuples()]
    return fmean(values) if values else 0.0


def cvpr25_area(scores: Scores) -> float:
    """The CVPR 2025 challenge's AUC: trapezoid over the last five rounds, at most 4; a failed round is 0."""
    last = [score or 0.0 for score in scores][-5:]
    return sum((a + b) / 2 for a, b in pairwise(last))


def cvpr25_nsd(mean_dice: float, mean_nsd: float) -> float:
    """The CVPR 2025 challenge's NSD of a case: set to 0 where the mean Dice over its targets is 0.2 or less."""
    return mean_nsd if mean_dice > 0.2 else 0.0
