"""Is a collapse the model's or the pipeline's: the target of the question beside a control that the model is known for.

The verdict is by fixed thresholds on the mean over all targets of an overlap score, failures counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.analysis.comparison import compare
from evaluator.errors import UserError
from evaluator.evaluation.suites import suite_runs
from evaluator.runs.results import load
from evaluator.runs.store import open_run

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.manifests.suites import Suite
    from evaluator.runs.results import Results

from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import ALL_TARGETS, SANITY, typed
from evaluator.analysis.comparison.score_array import COUNTED

if TYPE_CHECKING:
    from collections.abc import Collection

#: a mean at or above counts as working
WORKS = 0.5
#: a mean below counts as a collapse
COLLAPSES = 0.2

WORKING, EVERYWHERE, DATASET, MODALITY, UNSURE = (
    "works", "collapse everywhere", "collapse on this dataset", "collapse on this modality only", "cannot say",
)  # fmt: skip
_SUSPECT = "suspect the pipeline (units, orientation, label map) before the model"


def judge_sanity(
    means: pd.DataFrame, control: str, *, random_weights: Collection[str] = ()
) -> pd.DataFrame:
    """One row for each model, dataset that is not the control, protocol and overlap metric; columns are ``SANITY``.

    ``means`` is a comparison's frame, ``control`` a dataset's name in it, ``random_weights`` labels of models whose scores
    say nothing.
    """
    own = means[
        (means["target"] == ALL_TARGETS)
        & (means["failures"] == COUNTED)
        & (means["modality_pair"] == "all")
    ]
    own = own[own["metric"].isin(("dice", "iou", "nsd"))]
    rows = []
    for key, part in own.groupby(["model", "protocol", "metric"], observed=True):
        model, protocol, metric = key
        there = {name: _means(group) for name, group in part.groupby("dataset", observed=True)}
        known = there.get(control, {})
        for dataset, measured in there.items():
            if dataset == control:
                continue
            verdict, explanation = _verdict(known, measured)
            if model in random_weights:
                verdict, explanation = UNSURE, "the weights are random"
            figures = {
                "control_mean": known.get("structural"),
                "structural_mean": measured.get("structural"),
            }
            named = {"model": model, "protocol": protocol, "metric": metric, "control": control}
            said = {"target_dataset": dataset, "functional_mean": measured.get("PT")}
            rows.append(named | figures | said | {"verdict": verdict, "explanation": explanation})
    return typed(pd.DataFrame(rows, columns=list(SANITY)), SANITY)


def _means(group: pd.DataFrame) -> dict[str, float]:
    """By modality, and the better of the structural ones; what the model does not take says nothing of the pipeline."""
    known = group[group["status"] != "unsupported"].dropna(subset=["mean"])
    means = {
        str(modality): float(mean)
        for modality, mean in zip(known["modality"], known["mean"], strict=True)
    }
    structural = [mean for modality, mean in means.items() if modality != "PT"]
    return means | ({"structural": max(structural)} if structural else {})


def _verdict(control: dict[str, Any], target: dict[str, Any]) -> tuple[str, str]:
    known = control.get("structural", control.get("PT"))
    if known is None:
        return UNSURE, "the model has no score on the control"
    measured = {name: mean for name, mean in target.items() if name != "structural"}
    if not measured:
        return UNSURE, "the model has no score on the dataset"
    collapsed = sorted(name for name, mean in measured.items() if mean < COLLAPSES)
    if not collapsed:
        return WORKING, f"no mean is below {COLLAPSES}"
    if known < COLLAPSES and len(collapsed) == len(measured):
        return EVERYWHERE, f"below {COLLAPSES} on the control too: {_SUSPECT}"
    if known < WORKS:
        return (
            UNSURE,
            f"the control's mean is below {WORKS}: it does not show that the model works in this pipeline",
        )
    if len(collapsed) == len(measured):
        return (
            DATASET,
            f"the model works on the control (at least {WORKS}): look at this dataset's units and geometry",
        )
    return (
        MODALITY,
        f"below {COLLAPSES} on {' and '.join(collapsed)} alone; the pipeline works on the rest",
    )


def load_runs(suite: Suite) -> Results:
    """The results of a suite's runs. Raises UserError when there are none."""
    names = [one.run for one in suite_runs(suite) if one.run]
    if not names:
        raise UserError(
            f"none of the runs of suite {suite.name} could be made; run it again to see why"
        )
    return load(names)


def suite_sanity(suite: Suite) -> pd.DataFrame | None:
    """The verdict on each model by the suite's control (``evaluator.analysis.control_check``); None for a suite without one.

    Raises UserError when none of the suite's runs were made.
    """
    if suite.control is None:
        return None
    results = load_runs(suite)
    random = [run.label for run in results.runs if run.random_weights]
    return judge_sanity(
        compare(results).means, control_name(suite) or suite.control, random_weights=random
    )


def control_name(suite: Suite) -> str | None:
    """The name that the runs give the suite's control, which the suite may name by its manifest's path; None if none was made."""
    of_control = (one.run for one in suite_runs(suite) if one.run and one.dataset == suite.control)
    run = next(of_control, None)
    return open_run(run).info().identity.dataset if run else None
