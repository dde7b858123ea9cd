"""Pages that are one file each: style, script and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from evaluator.files import check_replaceable, write_output
from evaluator.report.site import SiteHeader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluator.report.context import Page
    from evaluator.report.site import Entry
    from evaluator.types import Dataset


#: how templates/base.html begins
PAGE_BEGINNING = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="umd">
"""


@dataclass(frozen=True, slots=True)
class Inlined:
    """Style and script of the report, as the base template writes them."""

    style: Any
    script: Any


def write_page(path: Path, page: Page, header: SiteHeader) -> Path:
    """Write one page as one file that loads nothing.

    Args:
        path: the HTML file; an earlier page is replaced.
        page: template and context.
        header: what stands on every page.

    Raises:
        UserError: the file exists and is no page of this project.
        HostError: the file cannot be written.
    """
    check_page(path)
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("evaluator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    static = files("evaluator.report") / "static"
    style, script = (
        (static / f"report.{end}").read_text(encoding="utf-8") for end in ("css", "js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.get_template(page.template).render(
        site=header,
        page=page,
        up="",
        inlined=Inlined(Markup(style), Markup(script)),  # noqa: S704 - files of this package
        script_sources=f"'sha256-{digest}'",
        **page.context,
    )
    write_output(path, text.encode("utf-8", "backslashreplace"))
    return path


def check_page(path: Path) -> None:
    """Refuse to write a page over a file that is none; raises UserError."""
    check_replaceable(path, PAGE_BEGINNING)


def header_of(dataset: Dataset, title: str, navigation: Sequence[Entry]) -> SiteHeader:
    """The header of pages about a dataset."""
    warnings = []
    if dataset.synthetic:
        warnings.append(f"SYNTHETIC DATA: {dataset.name}. Nothing here is of a patient.")
    return SiteHeader(
        title=title,
        subtitle=dataset.name,
        made_by=f"umd {version('umd-evaluator')}",
        warnings=tuple(warnings),
        navigation=tuple(navigation),
    )


def data_uri(png: bytes) -> str:
    """A PNG as an address that contains it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
