"""Do a run's predictions depend on the order of cases: the result of the check, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluator.runs.reproducibility_records import (
        Differences,
        MaskDifference,
        Reproducibility,
    )
    from evaluator.runs.store import RunStore

NOT_CHECKED = "not-checked"


def read_verdict(run: RunStore) -> str:
    """``equal``, ``keeps-state``, ``not-deterministic``, or ``not-checked``."""
    result = run.reproducibility()
    return result.verdict if result else NOT_CHECKED


def describe_reproducibility(run: RunStore) -> str:
    """One sentence on whether the model's predictions can be repeated."""
    result, model = run.reproducibility(), run.info().identity.model
    if result is None:
        return f"Not checked whether results depend on the order of cases ({_why_not(run)})."
    count = len(result.scans)
    if not _has_mask(run, result):
        return (
            f"{count} scans were predicted again and failed again; there is no mask to tell "
            "whether results depend on the order of cases."
        )
    if result.verdict == "equal":
        return (
            f"{count} scans were predicted again, individually and as a batch: "
            f"the same masks as in the {result.mode}."
        )
    details = "; ".join(
        _describe(mode, differences, result.masks)
        for mode, differences in result.differences.items()
        if differences.count
    )
    if result.verdict == "not-deterministic":
        return (
            f"MODEL {model} IS NOT DETERMINISTIC: two predictions of the same scan alone differ. "
            f"Compared with the {result.mode}: {details}."
        )
    return (
        f"MODEL {model} KEEPS STATE BETWEEN CASES: its results depend on the order of cases. "
        f"Compared with the {result.mode}: {details}."
    )


def _why_not(run: RunStore) -> str:
    """Why no scan was predicted again."""
    if run.missing_scans():
        return "the run is incomplete"
    requests = (entry.request for record in run.records() for entry in record.rounds)
    return "no scan was predicted again" if any(requests) else "the model was run on no scan"


def _has_mask(run: RunStore, result: Reproducibility) -> bool:
    """True if a prediction that was repeated has a mask, the first or the repeated one."""
    if any(differences.count for differences in result.differences.values()):
        return True
    for scan in result.scans:
        record = run.record(scan.case, scan.modality)
        if record is not None and any(record.masks()):
            return True
    return False


def _describe(mode: str, differences: Differences, masks: int) -> str:
    first = differences.first[0]
    modes = {"alone": "predicted alone", "batch": "predicted as one batch"}
    place = f"{first.case} {first.modality}, {first.target}, round {first.round}"
    return (
        f"{modes[mode]}, {differences.count} of {masks} masks differ "
        f"(the first: {place}: {_difference(first)})"
    )


def _difference(first: MaskDifference) -> str:
    if first.dice is not None:
        return f"Dice {first.dice:.3f}"
    return f"{first.status}, then {first.repeated_status}"
