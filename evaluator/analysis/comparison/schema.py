"""The frames of a ``Comparison``: for each column what it says. Documents, CSV headers and the report read it here.

A figure that cannot be given is pandas' NA, and the row's ``status`` and ``explanation`` say why; no row is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

#: the target that stands for the mean over all of a subject's targets
ALL_TARGETS = "all targets"
#: structural minus functional
MODALITY_PAIRS = (("CT", "PT"), ("MR", "PT"))

_WHERE = {
    "dataset": "the dataset's name",
    "protocol": "the protocol's id",
}
_CELL = {
    "target": f'the organ or lesion; "{ALL_TARGETS}": the mean over a subject\'s targets, taken before anything else',
    "metric": "name of a row of evaluator.metrics.METRICS; signed ones are compared by magnitude",
    "failures": '"included": a failed prediction counts as the protocol says; "excluded": pairs with one are left out',
}
_STATUS = {
    "status": '"ok", or in a word why figures are missing',
    "explanation": "the same as a sentence; also what to keep in mind where the status is ok; empty if nothing",
}
_PAIRED = {
    "n": "subjects; a subject with several sessions or seeds is averaged first and counts once",
    "n_pairs": "pairs of predictions (session x seed x target) that these subjects are the means of",
    "excluded": "pairs that could not be asked or scored for the data's sake (undefined, not run, not applicable), and are in no figure",
    "difference": "mean over subjects of the paired difference, first minus second",
    "low": "lower end of its interval (BCa bootstrap over subjects)",
    "high": "upper end",
    "shift": "Hodges-Lehmann: median of the means of all pairs of subjects' differences",
    "rank_biserial": "matched-pairs rank-biserial correlation, from -1 to 1; positive: the first is better",
    "wins": "share of subjects for whom the first is better, a tie counts half",
    "p": "Wilcoxon signed-rank, two-sided, zeros by Pratt",
    "p_sign_flip": "sign-flip permutation of the mean difference, two-sided: a check on p",
    "p_holm": "p adjusted by Holm over the family",
    "family": "the declared family of tests that p_holm and p_equivalence_holm are adjusted over, and how many it has",
    "margin": "differences smaller than this count as none; NA: no margin was stated",
    "low_90": "lower end of the 90 % interval, which lies within the margin where TOST at 5 % says equivalent",
    "high_90": "upper end",
    "p_equivalence": "TOST: the larger p of the two one-sided t tests against the margin",
    "p_equivalence_holm": "p_equivalence adjusted by Holm over the family",
    "verdict": '"different", "equivalent", "different within margin", "inconclusive"; by the two adjusted p at 5 %',
}

MEANS = (
    _WHERE
    | {
        "model": "the model's label",
        "modality_pair": '"CT-PT" or "MR-PT": scans of cases that have both; "all": every scan of the modality',
        "modality": "CT, MR or PT",
    }
    | _CELL
    | {
        "n": "subjects in the figure",
        "predictions": "predictions that were asked for and count",
        "failed": "of them without a mask",
        "unsupported": "of these failed because the model does not take the modality, prompt or target",
        "excluded": "predictions that could not be asked or scored for the data's sake",
        "mean": "mean over subjects",
        "low": "lower end of its interval (BCa bootstrap over subjects)",
        "high": "upper end",
        "sd": "standard deviation over subjects",
        "median": "median over subjects",
        "q1": "first quartile over subjects",
        "q3": "third quartile over subjects",
    }
    | _STATUS
)

MODALITY = (
    _WHERE
    | {
        "model": "the model's label",
        "modality_pair": '"CT-PT" or "MR-PT": structural minus functional, within the session',
    }
    | _CELL
    | {
        "failed_structural": "pairs whose structural prediction has no mask",
        "failed_functional": "pairs whose PET prediction has no mask",
        "mean_structural": "mean over subjects on CT or MR",
        "mean_functional": "mean over subjects on PET",
    }
    | _PAIRED
    | _STATUS
)

MODELS = (
    _WHERE
    | {
        "model": "the first model's label",
        "other": "the second model's label; differences are first minus second",
        "modality": "CT, MR or PT",
    }
    | _CELL
    | {
        "failed_model": "pairs whose first prediction has no mask",
        "failed_other": "pairs whose second prediction has no mask",
        "mean_model": "mean over subjects of the first",
        "mean_other": "mean over subjects of the second",
    }
    | _PAIRED
    | _STATUS
)

JOINT = (
    _WHERE
    | {"model": "the model's label", "modality_pair": '"CT-PT" or "MR-PT"', "metric": "the metric"}
    | {"failures": _CELL["failures"]}
    | {
        "method": '"mixed model": score ~ modality * target + (1 + modality | subject); "ranks": the fallback; "none"',
        "reason": "why the method is not the mixed model; empty if it is",
        "n": "subjects",
        "scores": "scores in the model",
        "targets": "targets in the model",
        "difference": "structural minus functional, averaged over targets; with ranks the mean of the subjects' mean differences",
        "low": "lower end of its interval",
        "high": "upper end",
        "p": "of no difference: Wald test; with ranks Wilcoxon on the subjects' means",
        "p_interaction": "of the difference being the same for all targets: Wald test; with ranks Friedman's on differences",
        "sd_subject": "between subjects, of the functional score",
        "sd_modality": "between subjects, of the difference",
        "sd_residual": "within subject and modality",
    }
    | _STATUS
)

GAPS = (
    _WHERE
    | {
        "model": "the model's label",
        "gap": '"modality discrepancy": structural minus functional, within subject; '
        '"generalization gap": literature-reported minus measured',
        "modality_pair": '"CT-PT", "MR-PT"; "all" for generalization gaps',
        "modality": "of the mean that is held against the literature; empty for modality discrepancies",
        "metric": "the metric",
        "failures": _CELL["failures"],
        "n": "subjects",
        "measured": "what was measured here: the discrepancy, or the mean over subjects of all targets",
        "literature": "what the literature reports",
        "value": "the gap",
        "low": "lower end of its interval; a literature figure is taken as exact",
        "high": "upper end",
        "source": "where the literature's figure stands",
        "certainty": '"checked" or "second-hand"',
    }
    | _STATUS
)

VOLUMES = (
    _WHERE
    | {
        "model": "the model's label",
        "modality_pair": MEANS["modality_pair"],
        "modality": "CT, MR or PT",
        "target": "the target",
    }
    | {
        "n": "subjects",
        "excluded": "predictions without a mask, or without a reference volume to hold them against",
        "reference_ml": "mean reference volume",
        "predicted_ml": "mean predicted volume",
        "bias": "mean of predicted minus reference volume, ml (Bland-Altman)",
        "bias_low": "lower end of its 95 % interval (t)",
        "bias_high": "upper end",
        "limit_low": "lower limit of agreement, bias - 1.96 sd",
        "limit_low_low": "lower end of its 95 % interval",
        "limit_low_high": "upper end",
        "limit_high": "upper limit of agreement, bias + 1.96 sd",
        "limit_high_low": "lower end of its 95 % interval",
        "limit_high_high": "upper end",
        "bias_percent": "mean of the difference relative to the pair's mean volume, per cent",
    }
    | _STATUS
)

PUBLISHED = {
    "model": "the card's name of the model",
    "kind": '"literature": what its authors or surveys report; "paper": what the UMD paper measured on its own data',
    "metric": "the metric",
    "modality": "CT, MR or PT; empty for one figure over several",
    "modality_pair": '"CT-PT", "MR-PT", or "all" where the figure is of no pair',
    "target": f'the organ, or "{ALL_TARGETS}" for a mean over organs',
    "prompt": "what the model was asked with, where the source says so",
    "value": "the figure",
    "data": "what it was measured on",
    "source": "where it stands",
    "certainty": '"checked" against the source, or "second-hand"',
}

CONTROL_CHECK = {
    "model": "the model's label",
    "protocol": "the protocol's id",
    "metric": "the metric",
    "control": "the dataset on which the model is known to work",
    "target_dataset": "the dataset of the question",
    "control_mean": "mean on the control's structural images",
    "structural_mean": "mean on the target's structural images",
    "functional_mean": "mean on the target's PET",
    "verdict": '"works", "collapse everywhere", "collapse on this dataset", "collapse on this modality only", "inconclusive"',
    "explanation": "what the verdict means and what to look at",
}

#: columns of words and of counts; all others are figures
WORDS = {
    "dataset", "protocol", "model", "other", "modality_pair", "modality", "target", "metric", "failures", "family", "verdict",
    "status", "explanation", "method", "reason", "gap", "source", "certainty", "kind", "prompt", "data",
    "control", "target_dataset",
}  # fmt: skip
COUNTS = {
    "n", "n_pairs", "excluded", "predictions", "failed", "unsupported", "failed_structural", "failed_functional",
    "failed_model", "failed_other", "scores", "targets",
}  # fmt: skip

FRAMES = {
    "means": MEANS,
    "modality": MODALITY,
    "models": MODELS,
    "joint": JOINT,
    "gaps": GAPS,
    "volumes": VOLUMES,
    "published": PUBLISHED,
}


def typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The documented columns in their order: words, counts and figures, each with NA where there is none."""
    kinds = {
        name: "string" if name in WORDS else "Int64" if name in COUNTS else "Float64"
        for name in columns
    }
    return frame.reindex(columns=list(columns)).astype(kinds)
