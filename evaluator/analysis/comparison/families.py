"""Families of tests: which comparisons are adjusted together, as declared before the scores.

By default all models and targets of a table are one family. ``--primary`` and a suite's
``families`` divide it. Models whose scores are no result of learning are never in a family with
others: image-blind models, which are a floor for the others, and models with random weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evaluator.manifests.suites import Suite
    from evaluator.runs.results import RunFacts

#: name of the family of comparisons that no declared family has
REMAINING = "remaining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Comparisons that are adjusted together. The first family that fits a comparison has it."""

    name: str
    #: names or labels of models; empty: every model
    models: tuple[str, ...] = ()
    #: names of targets, or "all targets"; empty: every target
    targets: tuple[str, ...] = ()

    def has(self, models: Sequence[str], target: str) -> bool:
        """Report whether a comparison belongs to the family.

        Args:
            models: Labels: one model, or the two models that are compared. Of two models both
                must be in the family, or the only one that it names must be one of them.
            target: Name of the target.
        """
        if self.targets and target not in self.targets:
            return False
        if not self.models:
            return True
        named = [any(_is(label, name) for name in self.models) for label in models]
        return any(named) if len(self.models) == 1 else all(named)


def parse_primary(text: str) -> Family:
    """Parse a value of ``--primary``: MODEL, or MODEL:TARGET."""
    model, _, target = text.partition(":")
    targets = (target.strip(),) if target.strip() else ()
    return Family(name=f"primary {text.strip()}", models=(model.strip(),), targets=targets)


def families_of_suite(
    suite: Suite, models: Collection[str], targets: Collection[str]
) -> tuple[Family, ...]:
    """Return a suite's families, without models that have no run and targets without scores.

    Args:
        suite: The suite.
        models: Labels of the models that have a run.
        targets: Targets that have scores.
    """
    families = []
    known_targets = {*targets, ALL_TARGETS}
    for declared in suite.families:
        family = Family(
            name=declared.name,
            models=tuple(name for name in declared.models if _has(models, name)),
            targets=tuple(name for name in declared.targets if name in known_targets),
        )
        is_empty = (declared.models and not family.models) or (
            declared.targets and not family.targets
        )
        if not is_empty:
            families.append(family)
    return tuple(families)


def check_families(
    families: Iterable[Family], models: Collection[str], targets: Collection[str]
) -> None:
    """Raise UnknownNameError if a family names a model or target that no run has."""
    known_targets = (*targets, ALL_TARGETS)
    for family in families:
        for name in family.models:
            if not _has(models, name):
                raise UnknownNameError("model among the runs", name, models)
        for name in family.targets:
            if name not in known_targets:
                raise UnknownNameError("target among the runs", name, known_targets)


def models_outside(runs: Iterable[RunFacts]) -> dict[str, str]:
    """Return the models that are in no family with others, by label, with the reason."""
    reasons = {}
    for run in runs:
        if run.random_weights:
            reasons[run.label] = "random weights"
        elif run.image_blind:
            reasons[run.label] = "image-blind"
    return reasons


def family_name(
    models: Sequence[str],
    target: str,
    families: Sequence[Family],
    outside: Mapping[str, str],
) -> str:
    """Name the family of a comparison; empty: the one family of the table.

    Args:
        models: Labels of the model, or of both models that are compared.
        target: Name of the target.
        families: Declared families.
        outside: As ``models_outside`` returns it.
    """
    reasons = {outside[label] for label in models if label in outside}
    if reasons:
        return f"not in a family with others: {' and '.join(sorted(reasons))}"
    for family in families:
        if family.has(models, target):
            return family.name
    return REMAINING if families else ""


def _has(labels: Iterable[str], name: str) -> bool:
    return any(_is(label, name) for label in labels)


def _is(label: str, name: str) -> bool:
    """Compare a model's label, which may end with the run's name, with a model's name."""
    return label == name or label.startswith(f"{name} [")
