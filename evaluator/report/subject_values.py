"""Each subject's values, as comparisons see them: seeds and sessions averaged, failures counted as the protocol says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.score_array import COUNTED, make_cube
from evaluator.runs.tables import last_round
from evaluator.statistics.intervals import mean_intervals
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluator.analysis.comparison.score_array import Cube
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.privacy import Privacy


def cube_of(study: Benchmark, metric: str, scores: pd.DataFrame | None = None) -> Cube:
    """The last round's values of one metric, of the study's scores or of these."""
    return make_cube(
        study.group, last_round(study.group.results.scores if scores is None else scores), metric
    )


def subject_values(study: Benchmark, cube: Cube, privacy: Privacy) -> pd.DataFrame:
    """model, target, modality, subject, value, failed: one row for each subject about whom the model could be asked."""
    values = cube.per_subject(cube.values[COUNTED])
    asked, failed = cube.count(cube.asked & ~cube.unsupported) > 0, cube.count(cube.failed) > 0
    m, t, x, s = np.nonzero(asked)
    return pd.DataFrame(
        {
            "model": np.array(cube.models, dtype=object)[m],
            "target": np.array(cube.targets, dtype=object)[t],
            "modality": np.array(MODALITIES, dtype=object)[x],
            "subject": _named(study, privacy)[s],
            "value": values[m, t, x, s],
            "failed": failed[m, t, x, s],
        }
    )


def paired_values(study: Benchmark, cube: Cube, privacy: Privacy) -> pd.DataFrame:
    """model, target, modality_pair, subject, structural, functional, failed: one row for each subject with both images."""
    frames = []
    for modality_pair in study.modality_pairs:
        a, b = (MODALITIES.index(name) for name in modality_pair.split("-"))
        taken = cube.asked & ~cube.unsupported
        both = taken[:, :, a] & taken[:, :, b]
        ends = [
            cube.per_subject(np.where(both, cube.values[COUNTED][:, :, place], np.nan))
            for place in (a, b)
        ]
        failed = cube.count((cube.failed[:, :, a] | cube.failed[:, :, b]) & both) > 0
        m, t, s = np.nonzero(~np.isnan(ends[0]) & ~np.isnan(ends[1]))
        frames.append(
            pd.DataFrame(
                {
                    "model": np.array(cube.models, dtype=object)[m],
                    "target": np.array(cube.targets, dtype=object)[t],
                    "modality_pair": modality_pair,
                    "subject": _named(study, privacy)[s],
                    "structural": ends[0][m, t, s],
                    "functional": ends[1][m, t, s],
                    "failed": failed[m, t, s],
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def mean_with_interval(
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of columns over subjects (n, m), and their 95 % intervals (2, m); subjects with a gap are left out."""
    whole = columns[~np.isnan(columns).any(axis=1)]
    if not len(whole):
        empty = np.full(columns.shape[1], np.nan)
        return empty, np.stack([empty, empty])
    return whole.mean(axis=0), mean_intervals(whole)[0]


def _named(study: Benchmark, privacy: Privacy) -> NDArray[np.object_]:
    """The subjects' names in the report, in the cube's order, which is that of their ids."""
    subjects = sorted(study.group.results.scores["subject"].unique())
    return np.array(
        [privacy.subject(study.group.dataset, str(one)) for one in subjects], dtype=object
    )
