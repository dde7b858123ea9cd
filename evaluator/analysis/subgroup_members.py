"""Subjects of a benchmark by a column of the dataset's table of subjects, and their results."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from evaluator.datasets.load import load_subgroups
from evaluator.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from evaluator.runs.results import Group, Results

NOT_STATED = "not stated"
#: first columns of tables of subgroups
SPLIT = {
    "by": "column of the table of subjects",
    "subgroup": f'value of the column; "{NOT_STATED}": subjects without one',
}


def subgroups_of(group: Group, columns: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """The subjects of a benchmark by column and value.

    Raises:
        UserError: The dataset has no table of subjects.
        UnknownNameError: The table has no such column.
    """
    info = group.results.runs[0].info
    table = load_subgroups(info.dataset_source)
    if not table:
        raise UserError(
            f"dataset {group.dataset} has no table of subjects: write "
            f"{group.dataset}.subjects.tsv beside its manifest, with a column subject and columns "
            "such as sex, scanner, age_group, tracer (docs/your-data.md)"
        )
    columns_present = next(iter(table.values()))
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for column in columns:
        if column not in columns_present:
            raise UnknownNameError(
                f"column in the table of subjects of {group.dataset}", column, columns_present
            )
        for subject in map(str, group.results.scores["subject"].unique()):
            value = table.get(subject, {}).get(column) or NOT_STATED
            members[column, value].append(subject)
    return {key: members[key] for key in sorted(members)}


def of_subjects(results: Results, subjects: Collection[str]) -> Results:
    """The results of some subjects alone."""
    return replace(
        results,
        scores=results.scores[results.scores["subject"].isin(subjects)],
        predictions=results.predictions[results.predictions["subject"].isin(subjects)],
    )
