"""Provenance: the inputs of each run by hash, and the command to repeat it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.analysis.displacements import describe_displacements
from evaluator.report.benchmark import DOUBTS
from evaluator.report.context import Page
from evaluator.report.model_notes import constant_notes
from evaluator.report.privacy import plain_command
from evaluator.runs.repeat import repeat_command
from evaluator.runs.reproducibility import NOT_CHECKED, describe_reproducibility
from evaluator.runs.run_info import DRAWN, DRAWN_UNREGISTERED

if TYPE_CHECKING:
    from evaluator.report.context import Report
    from evaluator.report.privacy import Privacy
    from evaluator.runs.results import RunFacts

#: verdict of the reproducibility check -> in words
_REPRODUCIBILITY = {
    NOT_CHECKED: "not checked",
    "equal": "equal masks when some scans were predicted again, individually and as a batch",
}

_PROMPTS = {
    DRAWN: "simulated, one for all images of a session",
    DRAWN_UNREGISTERED: "simulated for each image on its own reference (--unregistered)",
}


def make(report: Report) -> Page:
    """Make one page with a section for each run."""
    return Page(
        file="provenance.html",
        nav="provenance.html",
        title="Provenance",
        short="Provenance",
        template="provenance.html",
        context={
            "runs": [_run(run, report.privacy) for run in report.results.runs],
            "rebuild": _rebuild(report),
            "keep_ids": report.options.keep_ids,
        },
    )


def _run(run: RunFacts, privacy: Privacy) -> dict[str, Any]:
    info = run.info
    identity, engine, software = info.identity, info.engine, info.software
    host = {
        "system": info.host.system,
        "python": info.host.python,
        "machine": info.host.machine,
        "cores": info.host.cores,
    }
    engine_facts = {"name": engine.name, "isolates": engine.isolates} | dict(engine.versions)
    facts = [
        ("model", f"{run.title} ({run.model})"),
        ("image", identity.image),
        ("weights", run.weights or "none"),
        ("files of the weights", _preflight(run)),
        ("weights, sha256", _weights_hashes(run)),
        ("weights’ licence", run.card.get("umd.weights.license") or "none stated"),
        ("trained on", run.card.get("umd.trained-on") or "not stated"),
        ("dataset", f"{run.dataset_title} ({run.dataset})"),
        ("dataset, sha256", identity.dataset_sha256),
        ("licence of the data", info.dataset.license),
        ("protocol", f"{run.protocol_title} ({run.protocol})"),
        ("protocol, sha256", identity.protocol_sha256),
        (
            "options of the model",
            ", ".join(f"{name}={value}" for name, value in run.options.items()) or "none",
        ),
        ("settings that the model reported", _choices(run, privacy)),
        ("kind of prompt", run.prompt_kind or "none that the model supports"),
        (
            "prompts",
            _PROMPTS.get(identity.prompts, f"replayed, hash {identity.prompts}"),
        ),
        ("prompts, sha256 over all cases", _prompts_hash(run)),
        ("reproducibility", _reproducibility(run)),
        ("container contract", identity.contract),
        ("engine", ", ".join(f"{key} {_plain(value)}" for key, value in engine_facts.items())),
        ("limits that the engine could not set", "; ".join(engine.unlimited) or "none recorded"),
        (
            "GPUs",
            ", ".join(f"{gpu.name}, driver {gpu.driver}" for gpu in info.gpus) or "none",
        ),
        ("machine", ", ".join(f"{key} {value}" for key, value in host.items())),
        ("evaluator", f"umd {software.version}, commit {software.commit or 'unknown'}"),
        ("packages", ", ".join(f"{key} {value}" for key, value in info.packages.items())),
        ("started", run.started),
        ("command", plain_command(info.command)),
    ]
    warnings = ["SYNTHETIC DATA"] if run.synthetic else []
    warnings += run.warnings
    if run.random_weights:
        warnings.append("RANDOM WEIGHTS, NOT A RESULT")
    warnings += [DOUBTS[run.reproducibility]] if run.reproducibility in DOUBTS else []
    if not run.isolates:
        warnings.append("RUN WITHOUT A CONTAINER")
    return {
        "title": f"{run.label} on {run.dataset}, {run.protocol}",
        "warnings": warnings,
        "facts": [(name, privacy.text(str(value))) for name, value in facts],
        "repeat": repeat_command(info, private=not privacy.keep_ids),
        "not_run": _not_run(run, privacy),
        "findings": _findings(run, privacy),
        "displacements": describe_displacements(run.store),
    }


def _preflight(run: RunFacts) -> str:
    state = run.info.weights.preflight
    return f"preflight: {state}" if state else "no preflight recorded"


def _weights_hashes(run: RunFacts) -> str:
    hashes = run.info.weights.sha256
    text = ", ".join(f"{name} {value}" for name, value in hashes.items())
    return text or run.card.get("umd.weights.sha256") or "none stated"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _reproducibility(run: RunFacts) -> str:
    return _REPRODUCIBILITY.get(run.reproducibility) or describe_reproducibility(run.store)


def _choices(run: RunFacts, privacy: Privacy) -> str:
    return ", ".join(map(privacy.text, constant_notes(run.store.records()))) or "none"


def _prompts_hash(run: RunFacts) -> str:
    from evaluator.files import fingerprint

    hashes = [prompts.sha256 for prompts in run.store.all_prompts()]
    return fingerprint(hashes) if hashes else "there are no prompts"


def _not_run(run: RunFacts, privacy: Privacy) -> list[str]:
    """List the scans for which no prediction was requested, with the reason."""
    return [
        f"{privacy.subject(run.dataset, record.subject)} {record.modality}: "
        f"{privacy.text(record.reason)}"
        for record in run.store.records()
        if record.state == "not-run"
    ]


def _findings(run: RunFacts, privacy: Privacy) -> list[str]:
    """List everything that was found in the data, and what the run was forced over."""
    checks = run.store.checks()
    lines = [f"{finding.severity}: {finding.subject_line}" for finding in checks.findings]
    lines += [f"in spite of: {finding.subject_line}" for finding in checks.forced]
    return list(map(privacy.text, lines))


def _rebuild(report: Report) -> str:
    names = [run.name for run in report.results.runs]
    few = names if report.options.keep_ids or len(names) <= 3 else [*names[:2], "…"]
    return "umd report " + " ".join(few) + " -o DIR"
