"""What a run found when it asked some scans again (``evaluator.evaluation.reproducibility_check``): as data, and as a line for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.files import read_json

if TYPE_CHECKING:
    from evaluator.files import Json
    from evaluator.runs.store import RunStore

NOT_CHECKED = "not-checked"


def read_verdict(run: RunStore) -> str:
    """``equal``, ``keeps-state``, ``not-deterministic``, or ``not-checked`` where no scan was asked again."""
    path = run.path / "equality.json"
    return str(read_json(path)["verdict"]) if path.exists() else NOT_CHECKED


def tell_equality(run: RunStore) -> str:
    """One line on whether the model gives the same however it is asked; its fault, if there is one, by name."""
    verdict, model = read_verdict(run), run.about()["identity"]["model"]
    if verdict == NOT_CHECKED:
        return "Not checked whether the model keeps state between cases: no scan was asked again (--recheck)."
    body = read_json(run.path / "equality.json")
    scans, way = len(body["scans"]), body["asked"]
    if verdict == "equal":
        return f"{scans} scans were asked again, each alone and all in one batch: the same masks as in the {way}."
    told = "; ".join(
        _tell(how, found, body["masks"])
        for how, found in body["differences"].items()
        if found["count"]
    )
    if verdict == "not-deterministic":
        return f"MODEL {model} IS NOT DETERMINISTIC: asked alone twice, it gives other masks. Against the {way}: {told}."
    return (
        f"MODEL {model} KEEPS STATE BETWEEN CASES, so that its scores hang on the order of the cases. "
        f"Against the {way}: {told}."
    )


def _tell(how: str, found: Json, masks: int) -> str:
    first = found["first"][0]
    where = f"{first['case']} {first['modality']}, {first['target']}, round {first['round']}"
    apart = (
        f"Dice {first['dice']:.3f}"
        if "dice" in first
        else f"{first['status']}, then {first['again']}"
    )
    ways = {"alone": "asked alone", "batch": "in one batch"}
    return f"{ways[how]} {found['count']} of {masks} masks differ (the first: {where}: {apart})"
