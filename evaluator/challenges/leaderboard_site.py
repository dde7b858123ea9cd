"""The leaderboard as a static site: a page for each board, and ``leaderboard.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd

from evaluator.challenges.leaderboard_effort import failures_table, history_table, times_table
from evaluator.challenges.leaderboard_tables import (
    board_key,
    detail_tables,
    doubts,
    gaps_table,
    pairs_table,
    ranking_table,
)
from evaluator.challenges.signing import PUBLIC_NAME
from evaluator.report.benchmark import RANDOM, SYNTHETIC
from evaluator.report.context import Page
from evaluator.report.figures.rank_distribution import places
from evaluator.report.site import Entry as NavigationEntry
from evaluator.report.site import Site, SiteHeader
from evaluator.runs.json_types import dump

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.challenges.leaderboard_records import Board, Leaderboard
    from evaluator.report.site import FigureView

FILE = "leaderboard.json"
#: more entries make a figure that cannot be read
MOST_DRAWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLine:
    """A board on the first page."""

    board: Board
    file: str


def write_site(data: Leaderboard, folder: Path, *, public_key: bytes) -> Path:
    """Write the pages of a leaderboard.

    Args:
        data: what is shown.
        folder: to write; an earlier leaderboard or report there is replaced.
        public_key: that verifies the results, as a PEM file.

    Returns:
        the file to open.

    Raises:
        UserError: the folder exists and has other files.
        HostError: it cannot be written.
    """
    lines = [BoardLine(board=board, file=f"{board_key(board)}.html") for board in data.boards]
    with Site(folder, "evaluator.challenges") as site:
        header = _header(data, lines)
        pages = [_front_page(data, lines)]
        pages += [_board_page(site, data, line) for line in lines]
        for page in pages:
            site.page(page.file, page.template, header, page=page, **page.context)
        site.text(FILE, json.dumps(dump(data), indent=1, ensure_ascii=False) + "\n")
        site.bytes(PUBLIC_NAME, public_key)
    return site.folder / "index.html"


def _title(board: Board) -> str:
    return f"{board.title}, phase {board.phase}"


def _header(data: Leaderboard, lines: list[BoardLine]) -> SiteHeader:
    first = NavigationEntry(file="index.html", short="Overview")
    boards = [NavigationEntry(file=line.file, short=_title(line.board)) for line in lines]
    return SiteHeader(
        title=data.title,
        subtitle=f"as of {data.as_of[:16].replace('T', ' ')} UTC" if data.as_of else "",
        made_by=f"umd {version('umd-evaluator')}",
        warnings=_warnings(data),
        navigation=(first, *boards),
    )


def _warnings(data: Leaderboard) -> tuple[str, ...]:
    entries = [entry for board in data.boards for entry in board.entries]
    lines = []
    if data.audience != "public":
        lines.append(f"NOT PUBLIC: this leaderboard shows what only the {data.audience} may see.")
    if any(entry.synthetic for entry in entries):
        lines.append(f"{SYNTHETIC}. These results do not apply to patients.")
    if random := sorted({entry.team for entry in entries if entry.random_weights}):
        lines.append(f"{RANDOM}: {', '.join(random)}. The scores have no meaning.")
    if any(not entry.isolates for entry in entries):
        lines.append(
            "NOT ISOLATED: models ran with the permissions of the evaluator and could read the "
            "references. A rehearsal, not a result."
        )
    return tuple(lines)


def _tags(board: Board) -> tuple[str, ...]:
    """What goes along with every table and figure of a board."""
    tags = []
    if any(entry.synthetic for entry in board.entries):
        tags.append(SYNTHETIC)
    if any(entry.random_weights for entry in board.entries):
        tags.append(RANDOM)
    if any(not entry.isolates for entry in board.entries):
        tags.append("NOT ISOLATED")
    return tuple(tags)


def _front_page(data: Leaderboard, lines: list[BoardLine]) -> Page:
    return Page(
        file="index.html",
        nav="index.html",
        title=data.title,
        short="Overview",
        template="leaderboard.html",
        context={"data": data, "lines": lines, "doubts": doubts},
    )


def _board_page(site: Site, data: Leaderboard, line: BoardLine) -> Page:
    board, tags = line.board, _tags(line.board)
    tables = []
    figure = None
    if board.entries:
        figure = _places_figure(site, data, board, tags)
        candidates = [
            ranking_table(board, tags),
            pairs_table(board, tags),
            *detail_tables(board, tags),
            gaps_table(board, tags),
            times_table(board, tags),
            failures_table(board, data.failures, tags),
        ]
        tables = [site.table(table) for table in candidates if table is not None]
    history = history_table(board, tags)
    return Page(
        file=line.file,
        nav=line.file,
        title=_title(board),
        short=_title(board),
        template="leaderboard_board.html",
        context={
            "data": data,
            "board": board,
            "figure": figure,
            "tables": tables,
            "history": site.table(history) if history else None,
        },
    )


def _places_figure(
    site: Site, data: Leaderboard, board: Board, tags: tuple[str, ...]
) -> FigureView | None:
    """How often each entry has each place; None without a ranking of at least two entries."""
    ranked = [entry for entry in board.entries if entry.places]
    if not 1 < len(ranked) <= MOST_DRAWN:
        return None
    distribution, ranks = [], []
    for entry in ranked:
        label = {"order": data.order, "model": entry.team}
        for place, share in enumerate(entry.places, 1):
            distribution.append(label | {"place": place, "share": share})
        ranks.append(
            label
            | {
                "place": entry.place,
                "mean_rank": entry.mean_rank,
                "place_low": entry.place_low,
                "place_high": entry.place_high,
            }
        )
    name = f"{board_key(board)}.places"
    return site.figure(
        places(pd.DataFrame(distribution), pd.DataFrame(ranks), name=name, warnings=tags)
    )
