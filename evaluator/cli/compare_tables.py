"""The tables of ``umd compare`` on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.analysis.comparison.schema import ALL_TARGETS
from evaluator.cli.table_layout import Column, Table, format_cell
from evaluator.cli.tables import benchmark_of, print_heading, print_note, print_table

if TYPE_CHECKING:
    import pandas as pd

    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.analysis.comparison.subgroups import SubgroupComparison
    from evaluator.runs.results import Results

#: columns of the printed tables; the estimates follow
_MODALITY_COLUMNS = (
    Column(name="model", text=True, wraps=True, shared=True),
    Column(name="modality_pair", heading="pair", text=True, shared=True),
    Column(name="target", text=True),
    Column(name="n", heading="subjects", level=2),
    Column(name="failed_structural", level=3),
    Column(name="failed_functional", level=3),
    Column(name="mean_structural", heading="structural mean\nover subjects", level=2),
    Column(name="mean_functional", heading="functional mean\nover subjects", level=2),
)
_CONTROLLED = (
    Column(name="difference"),
    Column(name="95", heading="95\u00a0%"),
    Column(name="p_holm", heading="p", level=1),
    Column(name="floor_structural", heading="structural\nfloor", level=2),
    Column(name="floor_functional", heading="functional\nfloor", level=2),
    Column(name="ceiling_structural", heading="structural\nceiling", level=3),
    Column(name="ceiling_functional", heading="functional\nceiling", level=3),
    Column(name="controlled_difference", heading="controlled\ndifference"),
    Column(name="controlled_95", heading="controlled\n95\u00a0%", level=1),
    Column(name="controlled_p_holm", heading="controlled\np", level=1),
    Column(name="conclusion", text=True, wraps=True),
    Column(name="remark", text=True, wraps=True, level=4),
)
_MODEL_COLUMNS = (
    Column(name="model", text=True, wraps=True, shared=True),
    Column(name="other", text=True, wraps=True, shared=True),
    Column(name="modality", text=True),
    Column(name="n", heading="subjects", level=2),
    Column(name="failed_model", level=3),
    Column(name="failed_other", level=3),
    Column(name="mean_model", heading="model mean\nover subjects", level=2),
    Column(name="mean_other", heading="other mean\nover subjects", level=2),
)
_SUBGROUP_COLUMNS = (
    Column(name="model", text=True, wraps=True, shared=True),
    Column(name="modality_pair", heading="pair", text=True),
    Column(name="by", text=True, shared=True),
    Column(name="subgroup", text=True),
    Column(name="n", heading="subjects"),
    Column(name="mean_structural", heading="structural mean\nover subjects", level=2),
    Column(name="mean_functional", heading="functional mean\nover subjects", level=2),
    Column(name="difference"),
    Column(name="95", heading="95\u00a0%"),
    Column(name="p_holm", heading="p", level=1),
    Column(name="verdict", text=True),
    Column(name="verdict_reason", heading="reason", text=True, level=3),
)
_ESTIMATES = (
    Column(name="difference"),
    Column(name="95", heading="95\u00a0%"),
    Column(name="p_holm", heading="p", level=1),
    Column(name="verdict", text=True),
    Column(name="verdict_reason", heading="reason", text=True, level=3),
    Column(name="explanation", text=True, wraps=True, level=4),
)


def print_comparison(results: Results, comparison: Comparison) -> None:
    """Print each benchmark's modalities, joint models, pairs of models and gaps."""
    for group in results.groups():
        key = (group.dataset, group.protocol.id)
        print_heading(group)
        means = _rows(comparison.means, *key)
        if means.empty:
            print_note("no scores yet")
            continue
        metric = str(means["metric"].iloc[0])
        circular = {run.label for run in group.results.runs if run.info.is_circular}
        modality = _without_repetition(_rows(comparison.modality, *key, metric))
        modality = _mark_circular(modality, circular)
        title = f"structural minus functional, {metric}"
        common = benchmark_of(group) | {"metric": metric}
        _print_modalities(modality, title, common)
        models = _mark_circular(_rows(comparison.models, *key, metric), circular)
        overall = models[models["target"] == ALL_TARGETS]
        only = set(models["target"]) - {ALL_TARGETS}
        title = f"model minus other, {metric}, {only.pop() if len(only) == 1 else ALL_TARGETS}"
        _print_differences(overall, title, _MODEL_COLUMNS, common)
        _print_joint(_rows(comparison.joint, *key, metric))
        _print_gaps(_rows(comparison.gaps, *key, metric))
    margins = ", ".join(f"{name} {value:g}" for name, value in comparison.margins.items())
    print_note(
        "\nUnit: the subject; a subject's sessions and seeds are averaged first. "
        "Difference, interval, p and verdict are of the mean. Interval: 95 %, with an allowance "
        "for failures that were not seen (docs/statistics.md). p: sign-flip test, adjusted by Holm "
        f"over the family of tests. Margin of equivalence: {margins}. "
        "Floor: an image-blind answer to the model's prompt. Ceiling: what the grid allows. The "
        "controlled difference takes the grid's part out; the conclusion is drawn from it "
        "(docs/statistics.md)."
    )


def _mark_circular(frame: pd.DataFrame, circular: set[str]) -> pd.DataFrame:
    """Write "(circular)" behind models that the references come from."""
    for column in ("model", "other"):
        if circular and column in frame:
            marked = [f"{n} (circular)" if n in circular else n for n in frame[column]]
            frame = frame.assign(**{column: marked})
    return frame


def _rows(
    frame: pd.DataFrame, dataset: str, protocol: str, metric: str | None = None
) -> pd.DataFrame:
    selected = (frame["dataset"] == dataset) & (frame["protocol"] == protocol)
    if metric is not None:
        selected &= (frame["metric"] == metric) & (frame["failures"] == "counted")
    return frame[selected]


def _without_repetition(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of all targets where there is only one target, which they repeat."""
    is_target = frame["target"] != ALL_TARGETS
    return frame[is_target] if frame["target"].nunique() == 2 else frame


def _print_modalities(frame: pd.DataFrame, title: str, common: dict[str, str]) -> None:
    """Print raw and controlled differences, then in words where the two verdicts disagree."""
    if frame.empty:
        return
    rows, remarks = [], []
    for row in frame.to_dict("records"):
        texts = (_reason(row), row["explanation"])
        remark = "; ".join(text for text in texts if isinstance(text, str) and text)
        estimates = row | {
            "95": (row["low"], row["high"]),
            "controlled_95": (row["controlled_low"], row["controlled_high"]),
            "verdict": _verdict(row),
            "remark": remark,
        }
        rows.append([estimates[column.name] for column in (*_MODALITY_COLUMNS, *_CONTROLLED)])
        if isinstance(row["grid_remark"], str) and row["grid_remark"]:
            label = f"{row['model']} {row['modality_pair']} {row['target']}"
            remarks.append(f"{label}: {row['conclusion']} ({row['grid_remark']}).")
    columns = (*_MODALITY_COLUMNS, *_CONTROLLED)
    print_table(Table(title=title, columns=columns, rows=rows, common=common))
    for text in remarks:
        print_note(text)


def _verdict(row: dict[Any, Any]) -> str:
    """The verdict, or that the model does not support one of the two."""
    return "not supported" if row["status"] == "unsupported" else str(row["verdict"])


def _print_differences(
    frame: pd.DataFrame, title: str, columns: tuple[Column, ...], common: dict[str, str]
) -> None:
    if frame.empty:
        return
    rows = []
    for row in frame.to_dict("records"):
        interval = (row["low"], row["high"])
        words = (_verdict(row), _reason(row), row["explanation"])
        estimates = (row["difference"], interval, row["p_holm"], *words)
        rows.append((*(row[column.name] for column in columns), *estimates))
    columns = (*columns, *_ESTIMATES)
    print_table(Table(title=title, columns=columns, rows=rows, common=common))


def _reason(row: dict[Any, Any]) -> str:
    """Why a verdict is inconclusive, in a few words; the status if there is no estimate."""
    import pandas as pd

    if row["status"] != "ok":
        return str(row["status"])
    return "" if pd.isna(row["verdict_reason"]) else str(row["verdict_reason"])


def _print_joint(frame: pd.DataFrame) -> None:
    for row in frame.to_dict("records"):
        reason = f" ({row['reason']})" if row["reason"] else ""
        print_note(
            f"all targets jointly: {row['model']} {row['modality_pair']} "
            f"{format_cell(row['difference'])} [{format_cell((row['low'], row['high']))}], p "
            f"{format_cell(row['p'])}, p of the interaction with target "
            f"{format_cell(row['p_interaction'])}; {row['method']}{reason}"
        )


def _print_gaps(frame: pd.DataFrame) -> None:
    for row in frame[frame["gap"] == "generalization gap"].to_dict("records"):
        label = f"generalization gap: {row['model']} {row['modality']}"
        if row["status"] == "unsupported":
            print_note(f"{label}: not supported")
            continue
        print_note(
            f"{label} {format_cell(row['value'])} (literature {format_cell(row['literature'])}, "
            f"{row['certainty']}; measured {format_cell(row['measured'])})"
        )


def print_subgroups(split: SubgroupComparison, circular: set[str]) -> None:
    """Print differences within subgroups, over all targets.

    Args:
        split: the comparison.
        circular: labels of models that the references come from.
    """
    frame = split.subgroups[split.subgroups["failures"] == "counted"]
    frame = _mark_circular(frame[frame["target"] == ALL_TARGETS], circular)
    for (dataset, protocol, metric), block in frame.groupby(["dataset", "protocol", "metric"]):
        rows = []
        for row in block.to_dict("records"):
            estimates = row | {"95": (row["low"], row["high"]), "verdict": _verdict(row)}
            estimates["verdict_reason"] = _reason(row)
            rows.append([estimates[column.name] for column in _SUBGROUP_COLUMNS])
        common = {"dataset": str(dataset), "protocol": str(protocol), "metric": str(metric)}
        title = f"structural minus functional within subgroups, {metric}, {ALL_TARGETS}"
        print_table(Table(title=title, columns=_SUBGROUP_COLUMNS, rows=rows, common=common))
    for family in dict.fromkeys(map(str, frame["family"].dropna())):
        print_note(f"family: {family}")
    print_note(
        "All subgroups are one family of tests, so it is larger than without --by. These are raw "
        "differences: the grid's part is not taken out. A difference in one subgroup alone does "
        "not show that subgroups differ. --json and -o have every target and the means."
    )
