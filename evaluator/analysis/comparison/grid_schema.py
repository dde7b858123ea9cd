"""Columns of the grid's part in the table of modalities, and their meaning."""

#: the grid's part in a difference between modalities
GRID = {
    "floor_structural": "mean floor over subjects on CT or MR: an image-blind answer's score",
    "floor_functional": "mean floor over subjects on PET",
    "ceiling_structural": "mean ceiling over subjects on CT or MR: what the grid allows",
    "ceiling_functional": "mean ceiling over subjects on PET",
    "controlled_n": "subjects with score, floor and ceiling on both images",
    "controlled_difference": (
        "the paired difference at equal scores of an image-blind answer: intercept of the "
        "regression of the subjects' differences on those of the answer; scores count up to the "
        "ceiling of the other image; of several answers the difference that is nearest to 0"
    ),
    "grid_answer": (
        'the answer that it is against: "floor" (the best one of each scan), "ellipsoid or ball", '
        'or "box or mean shape"'
    ),
    "grid_dependence": (
        "slope of that regression: 1 for a model that depends on the grid as the image-blind "
        "answer does, 0 for one that does not; NA for the mean over targets"
    ),
    "controlled_low": "lower end of the interval that encloses those against all answers",
    "controlled_high": "upper end of that interval",
    "controlled_p": (
        "sign-flip permutation test of the controlled difference, two-sided: the largest p "
        "against any answer; 1 if the differences against two answers have opposite signs"
    ),
    "controlled_p_holm": "controlled_p adjusted by Holm over the family",
    "controlled_p_equivalence": (
        "the test of p_equivalence, of the controlled differences: the largest p"
    ),
    "controlled_p_equivalence_holm": "controlled_p_equivalence adjusted by Holm over the family",
    "controlled_verdict": "the verdict of the controlled differences; NA: no floor or no ceiling",
    "conclusion": (
        '"worse on PET", "better on PET", each perhaps "slightly" (within the margin), "as good '
        'on PET", "no difference beyond the grid", "no difference shown beyond the grid" or '
        '"inconclusive": by the controlled verdict, and never against the raw one'
    ),
    "grid_remark": "where the raw and the controlled verdict disagree, in words; may be empty",
}
