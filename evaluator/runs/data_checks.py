"""``checks.json``: what was found in the data of a run before the model was run on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluator.findings import Finding, Registration, summarise_findings
from evaluator.runs.json_types import FORMAT

FORCED = "FORCED: --force ran the model in spite of errors in the data"
UNREGISTERED = (
    "UNREGISTERED: prompts were simulated on each image's own reference (--unregistered), so the "
    "images of a case did not get one prompt, and each ceiling is that of the image's own reference"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChecks:
    """What was found in the data of a run: ``checks.json``."""

    findings: tuple[Finding, ...] = ()
    registrations: tuple[Registration, ...] = ()
    #: case -> modality -> why its references allow no common prompt; these scans are not run
    stopped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: errors in spite of which the model was run once, by --force; they are never removed
    forced: tuple[Finding, ...] = ()
    format: int = FORMAT

    def updated(self, new: DataChecks, cases: frozenset[str]) -> DataChecks:
        """These checks with later ones of some cases.

        Args:
            new: the later checks; findings about the dataset replace those of before.
            cases: the cases that were checked again; all else is kept.
        """
        replaced = cases | {""}
        findings = [finding for finding in self.findings if finding.case not in replaced]
        registrations = [entry for entry in self.registrations if entry.case not in replaced]
        stopped = {case: why for case, why in self.stopped.items() if case not in replaced}
        return DataChecks(
            findings=(*findings, *new.findings),
            registrations=(*registrations, *new.registrations),
            stopped={**stopped, **new.stopped},
            forced=tuple(dict.fromkeys([*self.forced, *new.forced])),
        )

    def lines(self) -> list[str]:
        """What every table of the run says of its data: errors, warnings, and --force."""
        lines = summarise_findings(self.findings)
        if self.forced:
            lines.append(f"{FORCED}; the first: {self.forced[0].subject_line}")
        return lines
