"""The folder of a report. It is written beside its place and moved there when it is complete."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evaluator.errors import HostError, UserError, write_fault
from evaluator.report.figures.style import as_pdf, as_svg, inline, warning
from evaluator.report.tables import as_csv, as_latex, as_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evaluator.report.figures.style import Figure
    from evaluator.report.tables import Table

#: a folder with this file in it is a report, and may be replaced by another
MARK = "umd-report.txt"
_STATIC = ("report.css", "report.js", "viewer.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the navigation."""

    file: str
    short: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteHeader:
    """What stands on every page."""

    title: str
    subtitle: str
    made_by: str
    #: what must be known of everything in the report, as sentences
    warnings: Sequence[str]
    navigation: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure as a page has it."""

    name: str
    title: str
    caption: str
    svg: Any
    warnings: Sequence[str]


class Site:
    """Writes a report; a context manager that replaces the folder only if there is no error."""

    def __init__(self, folder: Path, package: str = "evaluator.report") -> None:
        """Prepare to write.

        Args:
            folder: of the report.
            package: has the templates of the pages, beside those of the report.
        """
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

        self.folder = folder.resolve()
        self._part = self.folder.with_name(f".{self.folder.name}.part")
        self._pages = Environment(
            loader=ChoiceLoader([PackageLoader(name) for name in (package, "evaluator.report")]),
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        #: every download: kind, name, title, endings
        self.downloads: list[tuple[str, str, str, tuple[str, ...]]] = []
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        """Begin beside the folder. Raises UserError for a folder that is there and no report."""
        if (
            self.folder.exists()
            and not (self.folder / MARK).is_file()
            and (not self.folder.is_dir() or any(self.folder.iterdir()))
        ):
            raise UserError(
                f"{self.folder} exists and is not a report; choose another folder with -o"
            )
        shutil.rmtree(self._part, ignore_errors=True)
        self.text(MARK, "A report of umd; umd report may replace this folder.\n")
        static = files("evaluator.report") / "static"
        for name in _STATIC:
            self.text(f"assets/{name}", (static / name).read_text(encoding="utf-8"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put the new report in the old one's place, or take it away."""
        if kind is not None:
            shutil.rmtree(self._part, ignore_errors=True)
            return
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self._part.rename(self.folder)
        except OSError as error:
            raise HostError(
                f"cannot move the report to {self.folder}: {error.strerror}; it is in {self._part}"
            ) from error

    def bytes(self, file: str, content: bytes) -> None:
        """Write a file. Raises HostError where the disk refuses."""
        path = self._part / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise write_fault(path, error) from error

    def text(self, file: str, content: str) -> None:
        """Write a text file."""
        self.bytes(file, content.encode("utf-8", "backslashreplace"))

    def figure(self, figure: Figure) -> FigureView:
        """Keep a figure as SVG, PDF and CSV; returns what a page shows."""
        from markupsafe import Markup

        self._once(figure.name)
        warning(figure)
        svg = as_svg(figure)
        self.text(f"figures/{figure.name}.svg", svg)
        self.bytes(f"figures/{figure.name}.pdf", as_pdf(figure))
        self.text(f"figures/{figure.name}.csv", as_csv(figure.data, figure.warnings))
        self.downloads.append(("figures", figure.name, figure.title, ("svg", "pdf", "csv")))
        drawing = Markup(inline(svg, figure))  # noqa: S704 - made by us, texts are escaped
        return FigureView(figure.name, figure.title, figure.caption, drawing, figure.warnings)

    def table(self, table: Table) -> Table:
        """Keep a table as CSV, LaTeX and Markdown."""
        self._once(table.name)
        self.text(f"tables/{table.name}.csv", as_csv(table.data, table.warnings))
        self.text(f"tables/{table.name}.tex", as_latex(table))
        self.text(f"tables/{table.name}.md", as_markdown(table))
        self.downloads.append(("tables", table.name, table.title, ("csv", "tex", "md")))
        return table

    def data(self, name: str, title: str, frame: pd.DataFrame, warnings: Sequence[str]) -> None:
        """Keep figures that no page shows in full."""
        self._once(name)
        self.text(f"data/{name}.csv", as_csv(frame, warnings))
        self.downloads.append(("data", name, title, ("csv",)))

    def page(self, file: str, template: str, header: SiteHeader, **context: Any) -> None:
        """Write a page from its template."""
        up = "../" * file.count("/")
        self.text(file, self._pages.get_template(template).render(site=header, up=up, **context))

    def _once(self, name: str) -> None:
        assert name not in self._names, f"two things are named {name}"
        self._names.add(name)


def slug(text: str) -> str:
    """Return a name for files and links: letters, digits, dots, dashes; unique for each text."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:60]
    return (
        plain
        if plain and plain == text
        else f"{plain or 'x'}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    )
