"""The findings about a run's data as a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from evaluator.findings import Finding
    from evaluator.runs.store import RunStore

COLUMNS = ("run", "severity", "topic", "case", "modality", "forced", "message", "path")
#: file names of images, or a path
_FILE = re.compile(r"[/\\]|\.(?:nii|mha|mhd|nrrd|nhdr|dcm)\b", re.IGNORECASE)
WITHHELD = "(left out: it may name a subject)"


def findings_table(run: RunStore, *, keep_ids: bool) -> pd.DataFrame:
    """One row for each finding; ``forced``: the model was run in spite of it, by --force.

    Args:
        run: the run.
        keep_ids: keep cases and paths, and messages that may name them.
    """
    checks = run.checks()
    findings = [*checks.findings, *(f for f in checks.forced if f not in checks.findings)]
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for finding in findings:
        row: dict[str, object] = {
            "run": run.name,
            "severity": finding.severity,
            "topic": finding.topic,
            "case": finding.case,
            "modality": finding.modality,
            "forced": finding in checks.forced,
            "message": finding.message if keep_ids else _without_names(finding, findings),
            "path": finding.path,
        }
        for name, value in row.items():
            columns[name].append(value)
    table = pd.DataFrame(columns).astype({name: "string" for name in COLUMNS if name != "forced"})
    table = table.astype({"forced": "boolean"})
    return table if keep_ids else table.drop(columns=["case", "path"])


def _without_names(finding: Finding, findings: list[Finding]) -> str:
    cases = {other.case for other in findings if other.case}
    names = cases | {case.split(".")[0] for case in cases}
    words = "|".join(map(re.escape, sorted(names))) or "$^"
    named = re.search(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", finding.message)
    if named or _FILE.search(finding.message):
        return WITHHELD
    return finding.message
