"""Rows of a frame as objects: columns as attributes, of any type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """The rows in order; a cell without a fact is pandas' NA or NaN."""
    return list(frame.itertuples(index=False))
