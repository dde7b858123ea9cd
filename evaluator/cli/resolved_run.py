"""What a run will do, as ``umd run --dry-run`` prints it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import click

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
    gpus = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in resolved.gpus) or "none"
    name = resolved.run_name or "known when the image is built"
    existence = "exists, is resumed" if resolved.run_exists else "new"
    isolation = "" if resolved.isolates else " (no isolation)"
    facts = {
        "model": f"{plan.card.name}, image {image}",
        "dataset": f"{plan.dataset.name}, {len(resolved.cases)} cases",
        "protocol": f"{plan.protocol.id}, prompt: {plan.kind or 'none that the model accepts'}",
        "engine": f"{resolved.engine}{isolation}, GPUs: {gpus}",
        "run": f"{name} ({existence})",
        "shard": str(config.shard or "all cases"),
        "scans": f"{len(resolved.scans)}: {_counts(resolved)}",
        "disk": _disk(resolved),
    }
    for fact, value in facts.items():
        click.echo(f"{fact + ':':10}{value}")
    for state in ("refused", "not run"):
        chosen = [scan for scan in resolved.scans if scan.state == state]
        for scan in chosen[:MAX_LISTED]:
            click.echo(f"{state}: {scan.case} {scan.modality}: {scan.reason}")
        if len(chosen) > MAX_LISTED:
            click.echo(f"{state}: {len(chosen) - MAX_LISTED} further scans")


def warn_unsupported(resolved: ResolvedRun) -> None:
    """Warn of scans that the model does not support, once for each reason, before the run."""
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


def _disk(resolved: ResolvedRun) -> str:
    disk = resolved.disk
    return (
        f"masks about {disk.masks // MIB} MiB (rough estimate; {disk.runs_free // MIB} MiB free), "
        f"staged images at most {disk.staged // MIB} MiB ({disk.cache_free // MIB} MiB free)"
    )
