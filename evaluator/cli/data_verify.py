"""The work of ``umd data verify`` and ``umd data card``: check, print, and write pages."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from evaluator.cli.table_layout import Column, Table
from evaluator.cli.tables import print_note, print_table
from evaluator.datasets import load_dataset
from evaluator.datasets.dataset_checks import check_counts
from evaluator.datasets.verify import check_cases
from evaluator.files import check_replaceable, write_output
from evaluator.findings import SEVERITIES, count_findings
from evaluator.plain_text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from evaluator.datasets.scan_summary import PairSummary
    from evaluator.datasets.verify import DataCheck
    from evaluator.findings import Depth
    from evaluator.types import Dataset

INVALID_DATA_EXIT = 5
#: how the file of --output begins
JSON_BEGINNING = b'{\n "dataset": "'
#: pairs that are printed; the files list all
MOST_PAIRS = 12
#: cases that are checked at the same time
THREADS = 2
_PAIR_COLUMNS = (
    Column(name="case", text=True),
    Column(name="pair", text=True),
    Column(name="field_overlap", heading="common\nfield", digits=2),
    Column(name="body_shift_mm", heading="shift of\nbody, mm", digits=1),
    Column(name="farthest_target", heading="farthest\nreference", text=True),
    Column(name="farthest_mm", heading="shift of\nit, mm", digits=1),
)


def run_checks(dataset: Dataset, depth: Depth) -> tuple[DataCheck, float]:
    """Check all cases with a progress bar.

    Returns:
        What was found, and the seconds that it took.
    """
    from evaluator.cli.progress import CountBar

    started = time.monotonic()
    many = len(dataset.cases) > 1
    with CountBar("checking cases", len(dataset.cases)) if many else nullcontext() as bar:
        check = check_cases(
            dataset.cases, depth, threads=THREADS, done=bar.show if bar is not None else None
        )
    return check, time.monotonic() - started


def verify_dataset(
    name: str,
    data_root: Path | None,
    *,
    depth: Depth,
    as_json: bool,
    output: Path | None,
    html: Path | None,
) -> None:
    """See ``umd data verify``. Raises SystemExit 1 for warnings and 5 for errors."""
    if output:
        check_replaceable(output, JSON_BEGINNING)
    if html:
        from evaluator.report.single_page import check_page

        check_page(html)
    dataset = load_dataset(name, data_root)
    check, seconds = run_checks(dataset, depth)
    check = replace(check, findings=(*check.findings, *check_counts(dataset)))
    findings = sorted(check.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    for finding in findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            click.echo(f"{finding.severity}: {finding.subject_line}")
    if not as_json:
        print_pairs(check.pairs)
    scans = sum(len(case.scans) for case in dataset.cases)
    subjects = len({case.subject for case in dataset.cases})
    click.echo(
        f"{dataset.name}: {counted(len(dataset.cases), 'case')}, {counted(scans, 'scan')}: "
        f"{count_findings(findings)}",
        err=as_json,
    )
    click.echo(
        f"depth {depth}: {seconds:.1f} s, {seconds / max(subjects, 1):.2f} s a subject", err=True
    )
    if output:
        _write_json(output, dataset, check, depth)
        click.echo(output, err=as_json)
    if html:
        from evaluator.report.verification import write_verification

        for path in write_verification(dataset, check, html, threads=THREADS):
            click.echo(path, err=as_json)
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        raise SystemExit(INVALID_DATA_EXIT)
    raise SystemExit(1 if "warning" in severities else 0)


def print_pairs(pairs: tuple[PairSummary, ...]) -> None:
    """Print what the images of cases have in common, the largest shifts first."""
    if not pairs:
        return
    ordered = sorted(pairs, key=_shift, reverse=True)
    rows = []
    for pair in ordered[:MOST_PAIRS]:
        cells = [pair.case, f"{pair.first}-{pair.second}", pair.field_overlap, pair.body_shift_mm]
        rows.append([*cells, pair.farthest_target or "none", pair.farthest_mm])
    title = "images of one case: largest shifts first; nothing is moved"
    print_table(Table(title=title, columns=_PAIR_COLUMNS, rows=rows))
    if len(ordered) > MOST_PAIRS:
        print_note(f"... {len(ordered) - MOST_PAIRS} more pairs with smaller shifts (--output)")


def _shift(pair: PairSummary) -> float:
    return max(pair.body_shift_mm or 0.0, pair.farthest_mm or 0.0)


def _write_json(path: Path, dataset: Dataset, check: DataCheck, depth: Depth) -> None:
    body: dict[str, Any] = {
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "depth": depth,
        "findings": [asdict(finding) for finding in check.findings],
        "registrations": [asdict(entry) for entry in check.registrations],
        "pairs": [asdict(pair) for pair in check.pairs],
        "scans": [asdict(summary) for summary in check.summaries],
    }
    write_output(path, f"{json.dumps(body, indent=1)}\n".encode())


def write_card_page(name: str, data_root: Path | None, output: Path) -> None:
    """See ``umd data card``."""
    from evaluator.report.dataset_card import write_card
    from evaluator.report.single_page import check_page

    check_page(output)
    dataset = load_dataset(name, data_root)
    check, _ = run_checks(dataset, "full")
    click.echo(write_card(dataset, check, output))
