"""The control check: does a collapse come from the model or from the pipeline.

The judged dataset is compared with a control dataset, on which the model is known to work. The
verdict uses fixed thresholds of the mean over all targets of an overlap score, with failures
included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.analysis.comparison.column_types import typed
from evaluator.analysis.comparison.compare_groups import compare
from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.analysis.comparison.score_array import INCLUDED
from evaluator.errors import UserError
from evaluator.evaluation.suites import suite_runs
from evaluator.runs.names import open_run
from evaluator.runs.results import load

if TYPE_CHECKING:
    from collections.abc import Collection

    from evaluator.manifests.suites import Suite
    from evaluator.runs.results import Results


#: column of the table of verdicts -> meaning
CONTROL_CHECK = {
    "model": "label of the model",
    "protocol": "id of the protocol",
    "metric": "the metric",
    "control": "the control dataset, on which the model is known to work",
    "target_dataset": "the dataset to be judged",
    "control_mean": "mean on the structural images of the control dataset",
    "structural_mean": "mean on the structural images of the judged dataset",
    "functional_mean": "mean on the PET images of the judged dataset",
    "verdict": (
        '"works", "collapse everywhere", "collapse on this dataset", '
        '"collapse on this modality only" or "inconclusive"'
    ),
    "explanation": "what the verdict means and what to check",
}

#: a mean of at least this counts as working
WORKS = 0.5
#: a mean below this counts as a collapse
COLLAPSES = 0.2

WORKING, EVERYWHERE, DATASET = "works", "collapse everywhere", "collapse on this dataset"
MODALITY, INCONCLUSIVE = "collapse on this modality only", "inconclusive"
_SUSPECT = "suspect the pipeline (units, orientation, label map) before the model"


def judge_control(
    means: pd.DataFrame, control: str, *, random_weights: Collection[str] = ()
) -> pd.DataFrame:
    """Judge each model and dataset by the control dataset.

    Args:
        means: The table of means of a comparison.
        control: Name of the control dataset in it.
        random_weights: Labels of models with random weights, whose scores have no meaning.

    Returns:
        One row for each model, dataset other than the control, protocol and overlap metric, with
        the columns ``CONTROL_CHECK``.
    """
    is_overall = (means["target"] == ALL_TARGETS) & (means["modality_pair"] == "all")
    overall = means[is_overall & (means["failures"] == INCLUDED)]
    overall = overall[overall["metric"].isin(("dice", "iou", "nsd"))]
    rows = []
    for key, group in overall.groupby(["model", "protocol", "metric"], observed=True):
        model, protocol, metric = key
        by_dataset = {
            name: _means(rows_of_dataset)
            for name, rows_of_dataset in group.groupby("dataset", observed=True)
        }
        on_control = by_dataset.pop(control, {})
        for dataset, measured in by_dataset.items():
            verdict, explanation = _verdict(on_control, measured)
            if model in random_weights:
                verdict, explanation = INCONCLUSIVE, "the weights are random"
            rows.append(
                {
                    "model": model,
                    "protocol": protocol,
                    "metric": metric,
                    "control": control,
                    "target_dataset": dataset,
                    "control_mean": on_control.get("structural"),
                    "structural_mean": measured.get("structural"),
                    "functional_mean": measured.get("PT"),
                    "verdict": verdict,
                    "explanation": explanation,
                }
            )
    return typed(pd.DataFrame(rows, columns=list(CONTROL_CHECK)), CONTROL_CHECK)


def _means(rows: pd.DataFrame) -> dict[str, float]:
    """Return the means by modality, and the better one of CT and MR as "structural".

    Modalities that the model does not support are left out: they do not inform on the pipeline.
    """
    supported = rows[rows["status"] != "unsupported"].dropna(subset=["mean"])
    means = {
        str(modality): float(mean)
        for modality, mean in zip(supported["modality"], supported["mean"], strict=True)
    }
    structural = [mean for modality, mean in means.items() if modality != "PT"]
    return means | ({"structural": max(structural)} if structural else {})


def _verdict(control: dict[str, float], target: dict[str, float]) -> tuple[str, str]:
    on_control = control.get("structural", control.get("PT"))
    if on_control is None:
        return INCONCLUSIVE, "the model has no score on the control dataset"
    measured = {name: mean for name, mean in target.items() if name != "structural"}
    if not measured:
        return INCONCLUSIVE, "the model has no score on the dataset"
    collapsed = sorted(name for name, mean in measured.items() if mean < COLLAPSES)
    if not collapsed:
        return WORKING, f"no mean is below {COLLAPSES}"
    everywhere = len(collapsed) == len(measured)
    if on_control < COLLAPSES and everywhere:
        return EVERYWHERE, f"below {COLLAPSES} on the control dataset too: {_SUSPECT}"
    if on_control < WORKS:
        return INCONCLUSIVE, (
            f"the mean on the control dataset is below {WORKS}: it does not show that the model "
            "works in this pipeline"
        )
    if everywhere:
        return DATASET, (
            f"the model works on the control dataset (at least {WORKS}): "
            "check this dataset's units and geometry"
        )
    return MODALITY, (
        f"below {COLLAPSES} only on {' and '.join(collapsed)}; "
        "the pipeline works on the other modalities"
    )


def load_runs(suite: Suite) -> Results:
    """Load the results of a suite's runs. Raises UserError when there are none."""
    names = [result.run for result in suite_runs(suite) if result.run]
    if not names:
        raise UserError(f"suite {suite.name} has no finished runs; run it again to see why")
    return load(names)


def check_control(suite: Suite) -> pd.DataFrame | None:
    """Judge each model of a suite by the suite's control dataset.

    Returns:
        The table of ``judge_control``; None for a suite without a control dataset.

    Raises:
        UserError: None of the suite's runs exist.
    """
    if suite.control is None:
        return None
    results = load_runs(suite)
    random = [run.label for run in results.runs if run.random_weights]
    name = control_name(suite) or suite.control
    return judge_control(compare(results).means, name, random_weights=random)


def control_name(suite: Suite) -> str | None:
    """Return the name of the control dataset in the runs; None if it was not run.

    The suite may name the dataset by the path of its manifest.
    """
    for result in suite_runs(suite):
        if result.run and result.dataset == suite.control:
            return open_run(result.run).info().identity.dataset
    return None
