"""The page of ``umd data card``: a dataset in tables and plots, as one file."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.datasets.scan_summary import PERCENTILES, three_digits
from evaluator.findings import count_findings, summarise_findings
from evaluator.manifests.organs import load_organs
from evaluator.report.context import Page
from evaluator.report.figures.style import COLOURS, INK, as_svg, inline, warning
from evaluator.report.figures.value_boxes import value_boxes
from evaluator.report.single_page import header_of, write_page
from evaluator.report.site import Entry
from evaluator.report.tables import MODALITY_NAMES
from evaluator.types import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.datasets.scan_summary import ScanSummary
    from evaluator.datasets.verify import DataCheck
    from evaluator.report.figures.style import Figure
    from evaluator.types import Dataset, Modality

MIDDLE = PERCENTILES.index(50.0)
UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUV"}
#: values of a column that are listed with their counts; of more only the number is told
MOST_LISTED = 12


def write_card(dataset: Dataset, check: DataCheck, path: Path) -> Path:
    """Write a dataset's page.

    Args:
        dataset: the dataset.
        check: a full check of all of its cases.
        path: the HTML file.

    Raises:
        HostError: the file cannot be written.
    """
    context = {
        "dataset": dataset,
        "facts": list(_facts(dataset)),
        "subgroups": list(_subgroups(dataset)),
        "modalities": [
            part for name in MODALITIES if (part := _modality_part(name, check.summaries))
        ],
        "volumes": _volume_rows(check.summaries),
        "figures": [_figure_view(figure) for figure in _figures(dataset, check.summaries)],
        "total": count_findings(check.findings),
        "lines": summarise_findings(check.findings),
    }
    page = Page(
        file=path.name,
        title=dataset.title,
        short="Dataset",
        template="dataset_card.html",
        context=context,
        nav=path.name,
    )
    navigation = [Entry(file=path.name, short="Dataset")]
    return write_page(path, page, header_of(dataset, "Dataset card", navigation))


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    subjects = {case.subject for case in dataset.cases}
    pairs = Counter("+".join(sorted(case.scans)) for case in dataset.cases)
    yield "Subjects", str(len(subjects))
    yield "Sessions", ", ".join(f"{count} {name}" for name, count in sorted(pairs.items()))
    splits = Counter(case.split for case in dataset.cases)
    yield "Splits", ", ".join(f"{name}: {count} sessions" for name, count in splits.items())
    yield "Licence", dataset.license
    yield "Citation", dataset.citation
    yield "References", dataset.reference_origin
    yield "Synthetic", "yes" if dataset.synthetic else "no"
    yield "sha256 of manifest and case list", dataset.sha256


def _subgroups(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Each column of ``subjects.tsv`` and how many subjects have each value."""
    columns: dict[str, Counter[str]] = defaultdict(Counter)
    for values in dataset.subgroups.values():
        for column, value in values.items():
            columns[column][value or "not stated"] += 1
    for column, counts in columns.items():
        if len(counts) > MOST_LISTED:
            yield column, f"{len(counts)} different values"
        else:
            yield column, ", ".join(f"{value}: {count}" for value, count in sorted(counts.items()))


def _modality_part(
    modality: Modality, summaries: Sequence[ScanSummary]
) -> list[tuple[str, str]] | None:
    """Facts about all scans of a modality; None if there are none."""
    chosen = [entry for entry in summaries if entry.modality == modality]
    if not chosen:
        return None
    shapes = [entry.shape for entry in chosen]
    sizes = [entry.spacing_mm for entry in chosen]
    medians = [entry.values[MIDDLE] for entry in chosen if entry.values]
    return [
        ("Modality", MODALITY_NAMES[modality]),
        ("Scans", str(len(chosen))),
        (
            "Voxels",
            " × ".join(
                _span([float(n) for n in column], 4) for column in zip(*shapes, strict=True)
            ),
        ),
        (
            "Voxel size, mm",
            " × ".join(_span(list(column), 3) for column in zip(*sizes, strict=True)),
        ),
        ("Axes", _counted(Counter(entry.orientation for entry in chosen))),
        (f"Lowest value, {UNITS[modality]}", _span([entry.low for entry in chosen], 4)),
        (f"Median value, {UNITS[modality]}", _span(medians, 3)),
        (f"Highest value, {UNITS[modality]}", _span([entry.high for entry in chosen], 4)),
        ("Volume of the body, l", _span([n / 1000 for entry in chosen if (n := entry.body_ml)], 3)),
    ]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in counts.most_common())


def _span(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    low, high = (f"{value:.{digits}g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _by_target(
    summaries: Sequence[ScanSummary], modalities: Sequence[str], quantity: str
) -> dict[str, list[float]]:
    """Target -> volume in ml, or median value, of each scan; the project's organs first."""
    volumes: dict[str, list[float]] = defaultdict(list)
    for summary in summaries:
        if summary.modality not in modalities:
            continue
        for name, entry in summary.targets.items():
            if quantity == "volume":
                volumes[name].append(entry.volume_ml)
            elif entry.values:
                volumes[name].append(entry.values[MIDDLE])
    organ_names = load_organs().names()
    order = [
        *(name for name in organ_names if name in volumes),
        *sorted(volumes.keys() - set(organ_names)),
    ]
    return {name: volumes[name] for name in order}


def _volume_rows(summaries: Sequence[ScanSummary]) -> list[tuple[str, ...]]:
    """Target, count, median, quartiles, and the volumes of reference adults."""
    organs = load_organs()
    rows: list[tuple[str, ...]] = []
    for name, volumes in _by_target(summaries, MODALITIES, "volume").items():
        q1, median, q3 = np.percentile(volumes, (25, 50, 75))
        usual = organs.volume_ml(name)
        published = f"{usual[0]:.0f} to {usual[1]:.0f}" if usual else "–"
        quartiles = f"{three_digits(q1)} to {three_digits(q3)}"
        rows.append((name, str(len(volumes)), three_digits(median), quartiles, published))
    return rows


def _figures(dataset: Dataset, summaries: Sequence[ScanSummary]) -> Iterator[Figure]:
    warnings = ("SYNTHETIC DATA",) if dataset.synthetic else ()
    volumes = _by_target(summaries, MODALITIES, "volume")
    if volumes:
        yield value_boxes(
            volumes,
            "volume of the reference, ml",
            name="volumes",
            title="Volumes of the references, all images",
            colour=INK,
            logarithmic=True,
            warnings=warnings,
        )
    for modality in MODALITIES:
        medians = _by_target(summaries, (modality,), "median")
        if medians:
            yield value_boxes(
                medians,
                f"median in the reference, {UNITS[modality]}",
                name=f"values-{modality}",
                title=f"Values of {MODALITY_NAMES[modality]} in the references",
                colour=COLOURS[modality],
                warnings=warnings,
            )


def _figure_view(figure: Figure) -> dict[str, Any]:
    from markupsafe import Markup

    warning(figure)
    svg = Markup(inline(as_svg(figure), figure))  # noqa: S704 - made by us, texts are escaped
    return {"title": figure.title, "caption": figure.caption, "svg": svg, "name": figure.name}
