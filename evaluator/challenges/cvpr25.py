"""Totals of the CVPR 2025 interactive segmentation challenge for a run under its protocol.

For each image and round the challenge takes the mean Dice and the mean NSD over the organs in the
reference. A missing mask counts as 0, and NSD as 0 where the mean Dice is at most 0.2. It reports
the area under both over the last five rounds (trapezoid rule, at most 4) and both in the last
round. Images whose run failed are included with zeros here; the challenge's script drops them.
Source: JunMa11/CVPR-MedSegFMCompetition 748e862 CVPR25_iter_eval.py.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from evaluator.manifests.protocols import load_protocol
from evaluator.runs.tables import read_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evaluator.files import Json
    from evaluator.runs.records import ScanRecord
    from evaluator.runs.store import RunStore

    Scores = Sequence[float | None]

OverTime = Literal["warn", "zero"]
#: seconds for each organ of an image, all rounds together; the challenge's README scores an image
#: that takes longer as 0, and its script prints a warning
SECONDS_PER_TARGET = 90.0

TOTALS = ("dsc_auc", "nsd_auc", "dsc_final", "nsd_final", "seconds")


def challenge_totals(run: RunStore, *, over_time: OverTime = "warn") -> list[Json]:
    """Compute the challenge's totals for each model and modality.

    Args:
        run: The run.
        over_time: An image that took more than ``SECONDS_PER_TARGET`` for each of its targets is
            counted under ``over_time``, and with "zero" its scores are 0.

    Returns:
        JSON objects with the means over images of ``TOTALS``, the number of images ``n``, and
        under ``images`` the totals of each image. ``seconds`` are measured by the evaluator: all
        rounds of an image together; with a container for each request they include its start and
        the loading of the model. Empty for a run under another
        protocol.
    """
    rounds = load_protocol(run.info().protocol_source).rounds
    if rounds.click_rule != "cvpr25":
        return []
    frame = read_scores(run)
    frame = frame[~frame["status"].isin(["undefined", "not-run"])]
    seconds = _seconds(run)
    entries = []
    for (model, modality), group in frame.groupby(["model", "modality"], sort=True):
        images = []
        by_image: Any = group.groupby(["case", "seed"], sort=True)
        for (case, seed), image in by_image:
            if (image["status"] == "unsupported").all():
                continue
            totals = _image_totals(image, rounds.count)
            totals["seconds"] = round(seconds[str(case), str(modality)], 4)
            late = totals["seconds"] > SECONDS_PER_TARGET * image["target"].nunique()
            if late and over_time == "zero":
                totals |= dict.fromkeys(TOTALS[:4], 0.0)
            images.append({"case": case, "seed": int(seed), "over_time": late} | totals)
        if images:
            labels = {"challenge": "cvpr25", "model": model, "modality": modality, "n": len(images)}
            means = {name: _mean_total(images, name) for name in TOTALS}
            late_images = sum(bool(image["over_time"]) for image in images)
            entries.append(labels | means | {"over_time": late_images, "images": images})
    return entries


def _mean_total(images: Sequence[Json], name: str) -> float:
    return round(fmean(image[name] for image in images), 6)


def _seconds(run: RunStore) -> dict[tuple[str, str], float]:
    """Return the duration of all rounds together by case and modality."""
    return {(record.case, str(record.modality)): _total_seconds(record) for record in run.records()}


def _total_seconds(record: ScanRecord) -> float:
    return float(sum(entry.seconds or 0.0 for entry in record.rounds))


def _image_totals(image: pd.DataFrame, count: int) -> dict[str, float]:
    """Compute the totals of one image from its score rows."""
    dice, nsd = [], []
    for number in range(count):
        of_round = image[image["round"] == number]
        mean_dice = _mean(of_round[of_round["metric"] == "dice"])
        mean_nsd = _mean(of_round[of_round["metric"] == "nsd"])
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
    """Average over organs; a failed prediction counts as 0."""
    values = [float(row.value) if row.status == "ok" else 0.0 for row in rows.itertuples()]
    return fmean(values) if values else 0.0


def cvpr25_area(scores: Scores) -> float:
    """Compute the challenge's AUC: trapezoid rule over the last five rounds, at most 4.

    Args:
        scores: The score of each round; a failed round (None) counts as 0.
    """
    last = [score or 0.0 for score in scores][-5:]
    return sum((a + b) / 2 for a, b in pairwise(last))


def cvpr25_nsd(mean_dice: float, mean_nsd: float) -> float:
    """Return the challenge's NSD of an image: 0 where the mean Dice over targets is at most 0.2."""
    return mean_nsd if mean_dice > 0.2 else 0.0
