"""Rankings within subgroups of subjects: by scanner, sex, age group, tracer or dose.

Each ranking is that of the subgroup's subjects alone. Two subgroups with different rankings are no
evidence that the models' order depends on the subgroup: the intervals of the places tell how
stable each ranking is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from evaluator.analysis.ranking import FRAMES, Ranks, rank
from evaluator.analysis.subgroup_members import SPLIT, of_subjects, subgroups_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluator.runs.results import Results

#: columns of the tables
SUBGROUP_FRAMES = {name: SPLIT | columns for name, columns in FRAMES.items()}


def rank_subgroups(
    results: Results,
    columns: Sequence[str],
    *,
    metrics: Sequence[str] = (),
    weights: Mapping[tuple[str, str], float] | None = None,
    round_number: int | None = None,
) -> Ranks:
    """Rank the models of each benchmark within each subgroup.

    Args:
        results: Scores of the runs.
        columns: Columns of the datasets' tables of subjects.
        metrics: Metrics of the tasks. Default: those of the protocol.
        weights: See ``rank``. The weight of a target that no subject of a subgroup has is without
            effect there.
        round_number: Round of corrections. Default: each prediction's last round.

    Returns:
        The tables of ``rank`` with the columns ``by`` and ``subgroup``.

    Raises:
        UserError: A dataset has no table of subjects, or a weight is not valid.
        UnknownNameError: A table has no such column, or a metric does not exist.
    """
    weights = dict(weights or {})
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in FRAMES}
    for group in results.groups():
        for (by, subgroup), subjects in subgroups_of(group, columns).items():
            part = of_subjects(group.results, subjects)
            targets = set(map(str, part.scores["target"].unique()))
            possible = {
                (kind, name): weight
                for (kind, name), weight in weights.items()
                if kind != "target" or name in targets
            }
            ranks = rank(part, metrics=metrics, weights=possible, round_number=round_number)
            for name, names in SUBGROUP_FRAMES.items():
                frame = getattr(ranks, name).assign(by=by, subgroup=subgroup)
                tables[name].append(frame[list(names)])
    frames = {name: _joined(name, parts) for name, parts in tables.items()}
    return Ranks(**frames, weights=weights)


def _joined(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=list(SUBGROUP_FRAMES[name]))
    return pd.concat(filled, ignore_index=True)
