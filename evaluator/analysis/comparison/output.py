"""A comparison as plain rows and as CSV files: what has no figure is null or an empty cell, never NaN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluator.analysis.comparison.schema import FRAMES
from evaluator.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.analysis.comparison import Comparison


def rows_of(made: Comparison) -> Iterator[dict[str, Any]]:
    """Every row of every frame as plain JSON values, with the frame's name first."""
    for name, frame in made.frames().items():
        for row in frame.itertuples(index=False, name=None):
            yield {"frame": name} | dict(zip(map(str, frame.columns), map(plain, row), strict=True))


def plain(value: Any) -> Any:
    """A cell as a JSON value."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def write_csv(made: Comparison, folder: Path) -> list[Path]:
    """Write ``<frame>.csv`` for each frame, and ``columns.json`` with what the columns say; returns the files.

    Raises HostError when the folder cannot be written.
    """
    paths = []
    for name, frame in made.frames().items():
        paths.append(folder / f"{name}.csv")
        write_bytes(paths[-1], frame.to_csv(index=False).encode())
    settings = {
        "margins": dict(made.margins),
        "confidence": made.confidence,
        "resamples": made.resamples,
        "seed": made.seed,
    }
    paths.append(folder / "columns.json")
    write_bytes(
        paths[-1], (json.dumps({"settings": settings, "frames": FRAMES}, indent=1) + "\n").encode()
    )
    return paths
