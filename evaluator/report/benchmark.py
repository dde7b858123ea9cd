"""A benchmark: all runs of one dataset under one protocol, with their comparison."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluator.analysis.comparison.schema import MODALITY_PAIRS
from evaluator.manifests.organs import load_organs
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.runs.results import Group, Results, RunFacts
    from evaluator.types import Protocol

SYNTHETIC = "SYNTHETIC DATA"
UNREGISTERED_TAG = "UNREGISTERED: NO COMMON PROMPT"
FORCED_TAG = "RUN IN SPITE OF ERRORS IN THE DATA"
FINDINGS_TAG = "FINDINGS IN THE DATA"
RANDOM = "RANDOM WEIGHTS, NOT A RESULT"
#: verdict of the reproducibility check -> warning
DOUBTS = {"keeps-state": "KEEPS STATE BETWEEN CASES", "not-deterministic": "NOT DETERMINISTIC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One dataset under one protocol."""

    group: Group
    #: only this benchmark's rows
    comparison: Comparison
    #: the project's organs first, in their order, then the rest by name
    targets: tuple[str, ...]
    models: tuple[str, ...]
    modalities: tuple[str, ...]
    #: "CT-PT", "MR-PT": those that the data have
    modality_pairs: tuple[str, ...]
    subjects: int

    @property
    def key(self) -> str:
        """Part of file names and anchors."""
        return f"{self.group.dataset}.{self.group.protocol.id}"

    @property
    def protocol(self) -> Protocol:
        """The protocol."""
        return self.group.protocol

    @property
    def runs(self) -> tuple[RunFacts, ...]:
        """The runs."""
        return self.group.results.runs

    @property
    def metric(self) -> str:
        """The metric that stands first in the protocol: what verdicts are about."""
        return self.protocol.metrics[0]

    @property
    def title(self) -> str:
        """The dataset in words."""
        return self.runs[0].dataset_title

    @property
    def short(self) -> str:
        """Dataset and protocol by name."""
        return f"{self.group.dataset}, {self.protocol.id}"

    @property
    def circular(self) -> frozenset[str]:
        """Labels of models whose output, or whose training data, the references are."""
        return frozenset(run.label for run in self.runs if run.info.is_circular)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known of every figure of the benchmark."""
        warnings: tuple[str, ...] = (SYNTHETIC,) if self.group.synthetic else ()
        for run in self.runs:
            warnings += tuple(f"{run.label}: {text}" for text in run.warnings)
        warnings = (*warnings, *self._data_warnings())
        random = sorted(run.label for run in self.runs if run.random_weights)
        if not random:
            return warnings
        return (
            *warnings,
            RANDOM if len(random) == len(self.runs) else f"{RANDOM}: {', '.join(random)}",
        )

    def _data_warnings(self) -> tuple[str, ...]:
        checks = [run.store.checks() for run in self.runs]
        warnings = [UNREGISTERED_TAG] if self.unregistered else []
        if any(check.forced for check in checks):
            warnings.append(FORCED_TAG)
        if any(check.lines() for check in checks):
            warnings.append(FINDINGS_TAG)
        return tuple(warnings)

    @property
    def unregistered(self) -> bool:
        """The images of a case did not get one prompt in some of the runs."""
        return any(run.info.unregistered for run in self.runs)


def make_benchmarks(results: Results, comparison: Comparison) -> tuple[Benchmark, ...]:
    """The runs by dataset and protocol. Raises RunConflictError where versions differ."""
    return tuple(_benchmark(group, comparison) for group in results.groups())


def _benchmark(group: Group, comparison: Comparison) -> Benchmark:
    scores = group.results.scores
    present = set(scores["target"].unique())
    organs = [name for name in load_organs().names() if name in present]
    modalities = [name for name in MODALITIES if name in set(scores["modality"].unique())]
    scans = (
        scores[["case", "modality"]]
        .drop_duplicates()
        .groupby("case", observed=True)["modality"]
        .agg(set)
    )
    modality_pairs = [
        f"{a}-{b}" for a, b in MODALITY_PAIRS if any({a, b} <= selected for selected in scans)
    ]
    return Benchmark(
        group=group,
        comparison=_part(comparison, group),
        targets=(*organs, *sorted(present - set(organs))),
        models=tuple(sorted({run.label for run in group.results.runs})),
        modalities=tuple(modalities),
        modality_pairs=tuple(modality_pairs),
        subjects=scores["subject"].nunique(),
    )


def _part(comparison: Comparison, group: Group) -> Comparison:
    parts: dict[str, Any] = {}
    for field in fields(comparison):
        frame = getattr(comparison, field.name)
        if isinstance(frame, pd.DataFrame) and {"dataset", "protocol"} <= set(frame):
            mine = (frame["dataset"] == group.dataset) & (frame["protocol"] == group.protocol.id)
            parts[field.name] = frame[mine]
    return replace(comparison, **parts)
