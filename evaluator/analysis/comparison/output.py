"""A comparison as JSON rows and as CSV files: missing values are null or empty, never NaN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.schema import FRAMES
from evaluator.analysis.comparison.subgroups import SUBGROUP_FRAMES
from evaluator.files import csv_bytes, write_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.analysis.comparison.compare_groups import Comparison
    from evaluator.analysis.comparison.subgroups import SubgroupComparison


def rows_of(comparison: Comparison | SubgroupComparison) -> Iterator[dict[str, Any]]:
    """Yield every row of every table as JSON values, with the table's name as ``frame``."""
    for name, frame in comparison.frames().items():
        columns = [str(column) for column in frame.columns]
        for row in frame.itertuples(index=False, name=None):
            yield {"frame": name} | dict(zip(columns, map(plain, row), strict=True))


def plain(value: Any) -> Any:
    """Convert a cell of a table to a JSON value."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def write_csv(
    comparison: Comparison, folder: Path, subgroups: SubgroupComparison | None = None
) -> list[Path]:
    """Write ``<table>.csv`` for each table, and ``columns.json`` with the meaning of the columns.

    Args:
        comparison: The comparison.
        folder: Folder of the files; it is created.
        subgroups: The same runs within subgroups; its tables are written, too.

    Returns:
        The files.

    Raises:
        UserError: A file of one of these names is there and is something else.
        HostError: The folder cannot be written.
    """
    frames, columns = comparison.frames(), dict(FRAMES)
    if subgroups is not None:
        frames |= subgroups.frames()
        columns |= SUBGROUP_FRAMES
    contents = {folder / f"{name}.csv": csv_bytes(frame) for name, frame in frames.items()}
    settings = {
        "margins": dict(comparison.margins),
        "confidence": comparison.confidence,
        "resamples": comparison.resamples,
        "seed": comparison.seed,
    }
    text = json.dumps({"settings": settings, "frames": columns}, indent=1)
    contents[folder / "columns.json"] = f"{text}\n".encode()
    write_results(contents)
    return list(contents)
