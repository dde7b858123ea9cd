"""Lesions on PET: agreement of volume and uptake, and lesions found by size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.pet_lesions import (
    BIN_NAMES,
    QUANTITIES,
    UNITS,
    measure_pet_lesions,
    size_bin,
    wants_pet_lesions,
)
from evaluator.report.context import Page
from evaluator.report.figures.lesions import detection, uptake_agreement
from evaluator.report.site import slug
from evaluator.report.tables import Cell, Column, Table, figure_cell, interval, rows_of
from evaluator.statistics import RESAMPLES, bland_altman, is_proportional, ratio_agreement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from evaluator.analysis.pet_lesions import PetLesions
    from evaluator.report.benchmark import Benchmark
    from evaluator.report.context import Report
    from evaluator.statistics import Agreement

#: quantities that have a figure
DRAWN = ("MTV", "TLG")
FEWEST_SUBJECTS = 5


def make(report: Report) -> Page | None:
    """Make the page; None if no protocol measures uptake on PET."""
    parts = [
        _part(report, benchmark)
        for benchmark in report.benchmarks
        if wants_pet_lesions(benchmark.group)
    ]
    if not parts:
        return None
    return Page(
        file="lesions.html",
        nav="lesions.html",
        title="Lesions on PET",
        short="Lesions on PET",
        template="lesions.html",
        context={"page_parts": parts},
    )


def _part(report: Report, benchmark: Benchmark) -> dict[str, Any]:
    measured = measure_pet_lesions(benchmark.group)
    values = subject_uptake(report, benchmark, measured)
    agreements = agreement_rows(values)
    found = detection_rows(measured.lesions)
    targets = []
    for target in benchmark.targets:
        of_target = values[values["target"] == target].dropna(subset=["predicted", "reference"])
        if of_target.empty:
            continue
        plots = []
        for quantity in DRAWN:
            pairs = of_target[of_target["quantity"] == quantity]
            limits = agreements[
                (agreements["target"] == target) & (agreements["quantity"] == quantity)
            ]
            plot = uptake_agreement(
                pairs, limits, target, quantity, ratio=bool(limits["proportional"].any()),
                name=f"{benchmark.key}.{slug(quantity)}.{slug(target)}",
                warnings=benchmark.warnings,
            )  # fmt: skip
            plots.append(report.site.figure(plot))
        of_lesions = found[found["target"] == target]
        if (of_lesions["lesions"] > 0).any():
            plot = detection(
                of_lesions, target, name=f"{benchmark.key}.lesions-found.{slug(target)}",
                warnings=benchmark.warnings,
            )  # fmt: skip
            plots.append(report.site.figure(plot))
        targets.append({"name": target, "figures": plots})
    return {
        "benchmark": benchmark,
        "problems": [report.privacy.text(text) for text in measured.problems],
        "targets": targets,
        "uptake": report.site.table(_uptake_table(benchmark, agreements)),
        "lesions": report.site.table(_lesion_table(benchmark, found)),
    }


def subject_uptake(report: Report, benchmark: Benchmark, measured: PetLesions) -> pd.DataFrame:
    """Uptake of each subject under its name in the report; sessions and seeds are averaged.

    A subject without a mask in one of its predictions has no predicted value.
    """
    keys = ["model", "target", "quantity", "subject"]
    columns = ["reference", "predicted"]
    frame = measured.uptake.astype(dict.fromkeys(columns, "float64"))
    by_subject = frame.groupby(keys, sort=True)
    means, complete = by_subject[columns].mean(), by_subject[columns].count()
    means = means.where(complete.eq(by_subject.size(), axis=0))
    table = means.reset_index()
    names = [report.privacy.subject(benchmark.group.dataset, name) for name in table["subject"]]
    return table.assign(subject=names)


def agreement_rows(values: pd.DataFrame) -> pd.DataFrame:
    """Bias, limits and ratios of each model, target and quantity."""
    rows = []
    for (model, target, quantity), group in values.groupby(["model", "target", "quantity"]):
        complete = group.dropna(subset=["predicted", "reference"])
        predicted, reference = (
            complete[name].to_numpy(dtype=np.float64) for name in ("predicted", "reference")
        )
        row = {
            "model": model,
            "target": target,
            "quantity": quantity,
            "unit": UNITS[str(quantity)],
            "subjects": len(complete),
            "excluded": len(group) - len(complete),
            "proportional": is_proportional(predicted, reference),
        }
        if len(complete):
            row["reference"] = float(reference.mean())
            row |= _columns(bland_altman(predicted, reference), "bias", "limit")
            row |= _columns(ratio_agreement(predicted, reference), "ratio", "ratio_limit")
        rows.append(row)
    names = ["model", "target", "quantity", "unit", "subjects", "excluded", "proportional"]
    names += [
        "reference",
        *_columns(None, "bias", "limit"),
        *_columns(None, "ratio", "ratio_limit"),
    ]
    frame = pd.DataFrame(rows, columns=names)
    order = frame["quantity"].map({name: number for number, name in enumerate(QUANTITIES)})
    by_order = frame.assign(order=order).sort_values(["target", "order", "model"])
    return by_order.drop(columns="order").reset_index(drop=True)


def _columns(agreement: Agreement | None, bias: str, limit: str) -> dict[str, float | None]:
    """Bias and limits with their intervals, under these names."""
    names = (bias, f"{limit}_low", f"{limit}_high")
    if agreement is None:
        return {f"{name}{end}": None for name in names for end in ("", "_from", "_to")}
    estimates = (
        (agreement.bias, agreement.bias_interval),
        (agreement.lower, agreement.lower_interval),
        (agreement.upper, agreement.upper_interval),
    )
    columns: dict[str, float | None] = {}
    for name, (value, ends) in zip(names, estimates, strict=True):
        low, high = ends or (None, None)
        columns |= {name: value, f"{name}_from": low, f"{name}_to": high}
    return columns


def detection_rows(lesions: pd.DataFrame) -> pd.DataFrame:
    """Lesions found, by model, target and size; seeds are counted as further predictions."""
    rows = []
    sized = lesions.assign(size=[size_bin(ml) for ml in lesions["ml"]])
    for (model, target), of_model in sized.groupby(["model", "target"], sort=True):
        for name in BIN_NAMES:
            of_size = of_model[of_model["size"] == name]
            reference = of_size[of_size["kind"] == "reference"]
            false = of_size[of_size["kind"] == "false"]
            row: dict[str, Any] = {"model": model, "target": target, "size": name}
            row |= {"lesions": len(reference), "subjects": reference["subject"].nunique()}
            for column in ("touched", "matched"):
                row |= _share(reference, column)
            row |= {"false": len(false), "false_ml": float(false["ml"].sum())}
            rows.append(row)
    names = ["model", "target", "size", "lesions", "subjects"]
    for column in ("touched", "matched"):
        names += [column, f"{column}_low", f"{column}_high"]
    return pd.DataFrame(rows, columns=[*names, "false", "false_ml"])


def _share(reference: pd.DataFrame, column: str) -> Mapping[str, float]:
    """The share of lesions with a property, and its interval by resampling subjects."""
    if reference.empty:
        return {column: np.nan, f"{column}_low": np.nan, f"{column}_high": np.nan}
    values = reference[column].astype("float64")
    by_subject = values.groupby(reference["subject"]).agg(["sum", "count"])
    low, high = share_interval(by_subject.to_numpy(dtype=np.float64))
    return {column: float(values.mean()), f"{column}_low": low, f"{column}_high": high}


def share_interval(counts: NDArray[np.float64]) -> tuple[float, float]:
    """A 95 % interval of a share of lesions, the wider of two.

    Lesions of a subject are not independent, so subjects are drawn, with all of their lesions
    (percentile bootstrap). It has no width where every lesion is found. Wilson's interval for as
    many independent lesions as there are subjects (J Am Stat Assoc 1927;22:209) has one.

    Args:
        counts: found and all lesions of each subject, (subjects, 2).

    Returns:
        NaN below 5 subjects.
    """
    n = len(counts)
    if n < FEWEST_SUBJECTS:
        return np.nan, np.nan
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(0, n, (RESAMPLES, n))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    share = float(counts[:, 0].sum() / counts[:, 1].sum())
    z = 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    width = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(0, min(low, middle - width))), float(min(1, max(high, middle + width)))


def _uptake_table(benchmark: Benchmark, agreements: pd.DataFrame) -> Table:
    words = [Column(title=name, words=True) for name in ("model", "target", "quantity")]
    columns = [
        *words, Column(title="subjects"), Column(title="reference, mean"),
        Column(title="bias", starts=True), Column(title="lower limit"),
        Column(title="upper limit"), Column(title="ratio", starts=True),
        Column(title="lower limit of the ratio"), Column(title="upper limit of the ratio"),
    ]  # fmt: skip
    rows = []
    for row in rows_of(agreements):
        excluded = f"{row.excluded} without a value" if row.excluded else ""
        cells = [
            Cell(text=str(row.model)),
            Cell(text=str(row.target)),
            Cell(text=f"{row.quantity}, {row.unit}"),
            figure_cell(row.subjects, 0, small=excluded),
            figure_cell(row.reference, 2),
        ]
        for name in ("bias", "limit_low", "limit_high"):
            cells.append(_estimate(row, name, sign=True))
        for name in ("ratio", "ratio_limit_low", "ratio_limit_high"):
            cells.append(_estimate(row, name, sign=False))
        rows.append(cells)
    return Table(
        name=f"{benchmark.key}.pet-uptake",
        title="Volume and uptake: predicted against reference, on PET",
        columns=columns,
        rows=rows,
        data=agreements,
        note="Bias: mean of predicted minus reference. Limits: bias ± 1.96 standard deviations. "
        "Ratio: geometric mean of predicted / reference, with limits, of subjects with both above "
        "0. Small: 95 % intervals, from 5 subjects. A subject without a mask has no value.",
        warnings=benchmark.warnings,
    )


def _estimate(row: Any, name: str, *, sign: bool) -> Cell:
    low, high = getattr(row, f"{name}_from"), getattr(row, f"{name}_to")
    small = "" if pd.isna(low) else interval(low, high, 2, sign=sign)
    return figure_cell(getattr(row, name), 2, small=small, sign=sign)


def _lesion_table(benchmark: Benchmark, found: pd.DataFrame) -> Table:
    words = [Column(title=name, words=True) for name in ("model", "target", "size")]
    titles = ("lesions", "subjects", "found", "matched", "false lesions", "false, ml")
    rows = []
    for row in rows_of(found):
        cells = [Cell(text=str(row.model)), Cell(text=str(row.target)), Cell(text=str(row.size))]
        cells += [figure_cell(row.lesions, 0), figure_cell(row.subjects, 0)]
        for name in ("touched", "matched"):
            low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
            small = "" if pd.isna(low) else interval(low, high, 2)
            cells.append(figure_cell(getattr(row, name), 2, small=small))
        cells += [figure_cell(row.false, 0), figure_cell(row.false_ml, 2)]
        rows.append(cells)
    return Table(
        name=f"{benchmark.key}.pet-lesions",
        title="Lesions by size, on PET",
        columns=[*words, *(Column(title=title) for title in titles)],
        rows=rows,
        data=found,
        note="A lesion is a component over faces and edges (18 neighbours). Found: a predicted "
        "voxel lies in it. Matched: its IoU with a predicted component is above 0.5. False: a "
        "predicted component that touches no lesion, by its size. Without a mask, no lesion is "
        "found. Small: 95 % intervals, the wider of one by resampling subjects and Wilson’s for "
        "the number of subjects, from 5 subjects.",
        warnings=benchmark.warnings,
    )
