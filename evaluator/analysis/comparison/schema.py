"""Columns of the tables of a ``Comparison`` and their meaning.

CSV headers, ``columns.json`` and the report read the meaning from here. An estimate that cannot be
given is pandas' NA, and the row's ``status`` and ``explanation`` say why. No row is left out.
"""

from __future__ import annotations

from evaluator.analysis.comparison.grid_schema import GRID

#: the target that stands for the mean over all of a subject's targets
ALL_TARGETS = "all targets"
#: structural minus functional
MODALITY_PAIRS = (("CT", "PT"), ("MR", "PT"))

_BENCHMARK = {
    "dataset": "name of the dataset",
    "protocol": "id of the protocol",
}
_LABELS = {
    "target": (
        f'organ or lesion; "{ALL_TARGETS}": the mean over a subject\'s targets, computed before '
        "any other statistic"
    ),
    "metric": "name in docs/metrics.md; signed metrics are compared by magnitude",
    "failures": (
        '"counted": failed predictions count as the protocol defines; "excluded": failed '
        "predictions, and pairs with one, are excluded"
    ),
}
_STATUS = {
    "status": '"ok", or the reason why estimates are missing, in a word',
    "explanation": "the status as a sentence, or a remark on the estimate; may be empty",
}
_PAIRED = {
    "n": "subjects; a subject's sessions and seeds are averaged first, so a subject counts once",
    "n_pairs": "pairs of predictions (session x seed x target) that the subjects' means are of",
    "excluded": (
        "pairs that could not be requested or scored because of the data (undefined, not run, "
        "not applicable); they are in no estimate"
    ),
    "difference": "mean: mean over subjects of the paired difference, first minus second",
    "low": (
        "mean: lower end of its interval, which allows for failures that were not seen where "
        "failures are included"
    ),
    "high": "mean: upper end of its interval",
    "low_observed": (
        "mean: lower end by the observed spread alone (BCa bootstrap over subjects), as if "
        "failures were as rare as in the sample"
    ),
    "high_observed": "mean: upper end by the observed spread alone",
    "shift": (
        "typical subject: Hodges-Lehmann estimate, the median of the means of all pairs of "
        "subjects' differences"
    ),
    "rank_biserial": (
        "typical subject: matched-pairs rank-biserial correlation, from -1 to 1; positive: the "
        "first is better"
    ),
    "wins": (
        "typical subject: share of subjects for whom the first is better; a tie counts as half"
    ),
    "p": "typical subject: Wilcoxon signed-rank test, two-sided, zeros by Pratt",
    "p_sign_flip": "mean: sign-flip permutation test of the mean difference, two-sided",
    "p_holm": "mean: p_sign_flip adjusted by Holm over the family",
    "smallest_p_holm": "the smallest p_holm that so many subjects and tests allow",
    "subjects_for_tests": "the smallest number of subjects with which p_holm can reach 0.05",
    "subjects_needed": (
        "subjects with which a difference as large as the margin would be found in 80 % of "
        "studies, by the observed spread"
    ),
    "subjects_needed_low": "lower end of its interval (simulated samples of the subjects)",
    "subjects_needed_high": "upper end of its interval",
    "family": "the declared family of tests of p_holm and p_equivalence_holm, and its size",
    "margin": "margin of equivalence: smaller differences are irrelevant; NA: none was declared",
    "low_90": (
        "mean: lower end of the 90 % interval, which lies within the margin if the two one-sided "
        "tests show equivalence at 5 %"
    ),
    "high_90": "mean: upper end of the 90 % interval",
    "p_equivalence": (
        "mean, TOST: the larger p of two one-sided tests against the margin; it allows for "
        "failures as low and high do"
    ),
    "p_equivalence_holm": "p_equivalence adjusted by Holm over the family",
    "verdict": (
        'mean: "different", "equivalent", "different within margin" or "inconclusive", by p_holm '
        "and p_equivalence_holm at 5 %"
    ),
    "verdict_reason": (
        'of an inconclusive verdict: "too few subjects", "too noisy", "between margin and zero" '
        'or "neither arm works"; of a difference: "interval holds 0", or empty'
    ),
}

MEANS = (
    _BENCHMARK
    | {
        "model": "label of the model",
        "modality_pair": (
            '"CT-PT" or "MR-PT": scans of cases with both modalities; "all": every scan of the '
            "modality"
        ),
        "modality": "CT, MR or PT",
    }
    | _LABELS
    | {
        "n": "subjects with a value; a subject's sessions and seeds are averaged first",
        "predictions": "predictions that were requested",
        "failed": "requested predictions without a mask, without those that are unsupported",
        "unsupported": (
            "predictions that the model does not support (modality, prompt or target); they have "
            "no score"
        ),
        "excluded": "predictions that could not be requested or scored because of the data",
        "mean": "mean over subjects",
        "low": (
            "lower end of its interval, which allows for failures that were not seen where "
            "failures are included"
        ),
        "high": "upper end of its interval",
        "low_observed": (
            "lower end by the observed spread alone (BCa bootstrap over subjects), as if failures "
            "were as rare as in the sample"
        ),
        "high_observed": "upper end by the observed spread alone",
        "sd": "standard deviation over subjects",
        "median": "median over subjects",
        "q1": "first quartile over subjects",
        "q3": "third quartile over subjects",
        "floor": "mean over subjects of the score of an image-blind answer to the model's prompt",
        "ceiling": "mean ceiling over subjects: what the grid allows",
    }
    | _STATUS
)

MODALITY = (
    _BENCHMARK
    | {
        "model": "label of the model",
        "modality_pair": '"CT-PT" or "MR-PT": structural minus functional, within the session',
    }
    | _LABELS
    | {
        "failed_structural": "pairs whose structural prediction has no mask",
        "failed_functional": "pairs whose PET prediction has no mask",
        "mean_structural": "mean over subjects on CT or MR",
        "mean_functional": "mean over subjects on PET",
    }
    | _PAIRED
    | GRID
    | _STATUS
)

MODELS = (
    _BENCHMARK
    | {
        "model": "label of the first model",
        "other": "label of the second model; differences are first minus second",
        "modality": "CT, MR or PT",
    }
    | _LABELS
    | {
        "failed_model": "pairs whose first prediction has no mask",
        "failed_other": "pairs whose second prediction has no mask",
        "mean_model": "mean over subjects of the first model",
        "mean_other": "mean over subjects of the second model",
    }
    | _PAIRED
    | _STATUS
)

JOINT = (
    _BENCHMARK
    | {"model": "label of the model", "modality_pair": '"CT-PT" or "MR-PT"', "metric": "the metric"}
    | {"failures": _LABELS["failures"]}
    | {
        "method": (
            '"mixed model": score ~ modality * target + (1 + modality | subject); "ranks": the '
            'fallback; "none"'
        ),
        "reason": "why the method is not the mixed model; empty if it is",
        "n": "subjects",
        "scores": "scores in the model",
        "targets": "targets in the model",
        "difference": (
            "structural minus functional, averaged over targets; with ranks the mean of the "
            "subjects' mean differences"
        ),
        "low": (
            "lower end of its interval, which allows for failures that were not seen where "
            "failures are included"
        ),
        "high": "upper end of its interval",
        "low_observed": "lower end by the observed spread alone (Wald; with ranks BCa bootstrap)",
        "high_observed": "upper end by the observed spread alone",
        "p": "of no difference: Wald test; with ranks the sign-flip test of the subjects' means",
        "margin": "margin of equivalence; NA: none was declared",
        "p_equivalence": (
            "the larger p of two one-sided tests against the margin; it allows for failures as low "
            "and high do"
        ),
        "p_interaction": (
            "of the difference being the same for all targets: Wald test; with ranks Friedman's "
            "test of the differences"
        ),
        "sd_subject": "standard deviation between subjects of the functional score",
        "sd_modality": "standard deviation between subjects of the difference",
        "sd_residual": "standard deviation within subject and modality",
    }
    | _STATUS
)

GAPS = (
    _BENCHMARK
    | {
        "model": "label of the model",
        "gap": (
            '"modality discrepancy": structural minus functional, within the subject; '
            '"generalization gap": literature-reported minus measured'
        ),
        "modality_pair": '"CT-PT" or "MR-PT"; "all" for generalization gaps',
        "modality": "modality of the measured mean; empty for modality discrepancies",
        "metric": "the metric",
        "failures": _LABELS["failures"],
        "n": "subjects",
        "measured": "the measured discrepancy, or the measured mean over subjects of all targets",
        "literature": "the literature-reported value",
        "value": "the gap",
        "low": "lower end of its interval; a literature value is taken as exact",
        "high": "upper end of its interval",
        "source": "source of the literature value",
        "certainty": '"checked" or "second-hand"',
    }
    | _STATUS
)

VOLUMES = (
    _BENCHMARK
    | {
        "model": "label of the model",
        "modality_pair": MEANS["modality_pair"],
        "modality": "CT, MR or PT",
        "target": "the target",
    }
    | {
        "n": "subjects",
        "excluded": "predictions without a mask, or without a reference volume",
        "reference_ml": "mean reference volume",
        "predicted_ml": "mean predicted volume",
        "bias": "mean of predicted minus reference volume, ml (Bland-Altman)",
        "bias_low": "lower end of its 95 % interval (t)",
        "bias_high": "upper end of its 95 % interval",
        "limit_low": "lower limit of agreement, bias - 1.96 sd",
        "limit_low_low": "lower end of its 95 % interval",
        "limit_low_high": "upper end of its 95 % interval",
        "limit_high": "upper limit of agreement, bias + 1.96 sd",
        "limit_high_low": "lower end of its 95 % interval",
        "limit_high_high": "upper end of its 95 % interval",
        "bias_percent": "mean of the difference relative to the pair's mean volume, per cent",
    }
    | _STATUS
)

PUBLISHED = {
    "model": "name of the model in its model card",
    "kind": (
        '"literature": reported by the authors or in surveys; "paper": measured in the UMD paper '
        "on its own data"
    ),
    "metric": "the metric",
    "modality": "CT, MR or PT; empty for one value over several modalities",
    "modality_pair": '"CT-PT", "MR-PT", or "all" where the value is not of a pair',
    "target": f'organ, or "{ALL_TARGETS}" for a mean over organs',
    "prompt": "the prompt, where the source states it",
    "value": "the published value",
    "data": "the data it was measured on",
    "source": "the source of the value",
    "certainty": '"checked" against the source, or "second-hand"',
}

FRAMES = {
    "means": MEANS,
    "modality": MODALITY,
    "models": MODELS,
    "joint": JOINT,
    "gaps": GAPS,
    "volumes": VOLUMES,
    "published": PUBLISHED,
}
