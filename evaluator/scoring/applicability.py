"""Which metrics there are, and which have a meaning for which target and image.

Metrics of lesions apply to targets that ``manifests/organs.toml`` calls lesions, of centre lines to
those that it calls tubes, both also to names that it does not know; metrics of uptake to PET in
SUV. Elsewhere a score's status is ``not-applicable``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.errors import UnknownNameError
from evaluator.manifests.organs import load_organs
from evaluator.metrics.metric_table import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evaluator.metrics.measurements import Measurement
    from evaluator.types import Unit


def check_metrics(names: Iterable[str]) -> None:
    """Raise UnknownNameError for the first that is no row of ``METRICS``."""
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)


def applicable_measurements(
    metrics: Iterable[str], target: str, unit: Unit | None
) -> frozenset[Measurement]:
    """What these metrics need of a target's measures beyond voxels and surfaces.

    As far as it has a meaning there.
    """
    kind = load_organs().kind(target)
    meant: dict[Measurement, bool] = {
        "lesions": kind in (None, "lesions"),
        "centre_lines": kind in (None, "tube"),
        "uptake": unit == "SUVbw",
    }
    return frozenset(
        measurement for measurement in required_measurements(metrics) if meant[measurement]
    )


def required_measurements(metrics: Iterable[str]) -> frozenset[Measurement]:
    """What these metrics need beyond voxels and surfaces."""
    return frozenset(measurement for name in metrics if (measurement := METRICS[name].measurement))


def needs_image(metrics: Iterable[str]) -> bool:
    """True when one of these metrics measures uptake, which needs a PET image's values."""
    return "uptake" in required_measurements(metrics)
