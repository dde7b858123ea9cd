"""What a run will do, as ``umd run --dry-run`` prints it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from evaluator.cli.progress import describe_seconds

if TYPE_CHECKING:
    from evaluator.evaluation.plan import Plan
    from evaluator.evaluation.resolve import ResolvedRun

logger = logging.getLogger(__name__)

#: scans of one kind that are listed one by one
MAX_LISTED = 20
MIB = 2**20


def print_resolved(resolved: ResolvedRun) -> None:
    """Print everything that ``execute`` will do, one fact a line."""
    plan, config = resolved.plan, resolved.config
    image = plan.digest if resolved.image_built else "is built before the run starts"
    gpus = ", ".join(f"{gpu.label} ({gpu.name})" for gpu in resolved.gpus) or "none"
    name = resolved.run_name or "known when the image is built"
    existence = "exists, is resumed" if resolved.run_exists else "new"
    isolation = "" if resolved.isolates else " (no isolation)"
    facts = {
        "model": f"{plan.card.name}, image {image}",
        "dataset": f"{plan.dataset.name}, {_cases(resolved)}",
        "protocol": f"{plan.protocol.id}, prompt: {plan.kind or 'none that the model accepts'}",
        "engine": f"{resolved.engine}{isolation}, GPUs: {gpus}",
        "run": f"{name} ({existence})",
        "shard": str(config.shard or "all cases"),
        "scans": f"{len(resolved.scans)}: {_counts(resolved)}",
        "time": _time(resolved),
        "disk": _disk(resolved),
    }
    for fact, value in facts.items():
        click.echo(f"{fact + ':':10}{value}")
    for sentence in resolved.unlimited if resolved.isolates else ():
        click.echo(f"engine: {sentence}")
    for line in resolved.data.checks.lines():
        click.echo(f"data: {line}")
    for state in ("refused", "not run"):
        chosen = [scan for scan in resolved.scans if scan.state == state]
        for scan in chosen[:MAX_LISTED]:
            click.echo(f"{state}: {scan.case} {scan.modality}: {scan.reason}")
        if len(chosen) > MAX_LISTED:
            click.echo(f"{state}: {len(chosen) - MAX_LISTED} further scans")


def warn_unsupported(resolved: ResolvedRun) -> None:
    """Warn of scans that the model does not support, once for each reason, before the run."""
    from evaluator.evaluation.plan import correction_refusal, takes_corrections

    plan = resolved.plan
    if plan.kind and not takes_corrections(plan) and correction_refusal(plan) is None:
        logger.warning(
            "%s takes no clicks: only round 0 of %s is run; its masks stand for later rounds",
            plan.card.name,
            plan.protocol.id,
        )
    reasons = Counter(scan.reason for scan in resolved.scans if scan.state == "refused")
    for reason, count in reasons.items():
        logger.warning(
            "%s: unsupported on %d of %d scans: %s%s",
            resolved.plan.card.name,
            count,
            len(resolved.scans),
            reason,
            _suitable_protocols(resolved.plan),
        )


def _suitable_protocols(plan: Plan) -> str:
    """Name the protocols whose prompts the model accepts, if this one's are the problem."""
    from evaluator.evaluation.plan import correction_refusal
    from evaluator.manifests.protocols import load_protocol, protocol_ids

    if plan.kind is not None and correction_refusal(plan) is None:
        return ""
    suitable = []
    for name in protocol_ids():
        other = replace(plan, protocol=load_protocol(name))
        if other.kind is not None and correction_refusal(other) is None:
            suitable.append(name)
    return f"; protocols that it supports: {', '.join(suitable) or 'none'}"


def _counts(resolved: ResolvedRun) -> str:
    return ", ".join(
        f"{resolved.count(state)} {state}" for state in ("to do", "done", "refused", "not run")
    )


def _cases(resolved: ResolvedRun) -> str:
    cases, subjects = len(resolved.cases), {case.subject for case in resolved.cases}
    all_subjects = {case.subject for case in resolved.plan.dataset.cases}
    text = f"{cases} cases of {len(subjects)} subjects"
    return text if subjects == all_subjects else f"{text} (LIMITED, of {len(all_subjects)})"


def _time(resolved: ResolvedRun) -> str:
    """The time that the model needs, by an earlier run of it."""
    from evaluator.runs.timings import estimate_time

    plan = resolved.plan
    if not resolved.count("to do"):
        return "none, as no scan is to do"
    earlier = estimate_time(plan.card.name, plan.dataset.name, plan.protocol.id)
    if earlier is None:
        return "unknown, as there is no earlier run of the model; --limit 1 makes a short one"
    seconds = earlier.seconds * resolved.count("to do") / max(len(resolved.gpus), 1)
    difference = f" with {earlier.difference}" if earlier.difference else ""
    return (
        f"{describe_seconds(seconds)} for the model, as the median of {earlier.scans} scans of "
        f"{earlier.run}{difference} is {earlier.seconds:.1f} s"
    )


def _disk(resolved: ResolvedRun) -> str:
    disk = resolved.disk
    return (
        f"masks about {disk.masks // MIB} MiB (rough estimate; {disk.runs_free // MIB} MiB free), "
        f"staged images at most {disk.staged // MIB} MiB ({disk.cache_free // MIB} MiB free)"
    )
