"""What a run has to say of how it was made, so that it can be repeated."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from evaluator import paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluator.containers.engines import Engine
    from evaluator.containers.gpus import Gpu
    from evaluator.evaluation.plan import Plan
    from evaluator.evaluation.run_config import RunConfig
    from evaluator.files import Json
    from evaluator.zoo.prepare import PreparedModel

PACKAGES = ("numpy", "scipy", "numba", "nibabel", "SimpleITK", "pandas", "docker")


def provenance(
    plan: Plan, order: RunConfig, engine: Engine, gpus: Sequence[Gpu], ready: PreparedModel
) -> Json:
    """Everything beside the identity: sources by name, the model's card, versions, the machine, the command."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "dataset_source": order.dataset,
        "data_root": str(order.data_root) if order.data_root else None,
        "dataset": {
            "title": plan.dataset.title,
            "synthetic": plan.dataset.synthetic,
            "reference_origin": plan.dataset.reference_origin,
            "license": plan.dataset.license,
            "citation": plan.dataset.citation,
        },
        "protocol_source": order.protocol,
        "protocol": {
            "title": plan.protocol.title,
            "metrics": list(plan.protocol.metrics),
            "seeds": list(plan.protocol.seeds),
        },
        "prompt_kind": plan.kind,
        "replayed_run": plan.replay[0] if plan.replay else None,
        "card": dict(plan.card.labels),
        "weights": {"which": ready.identity, "sha256": dict(ready.hashes)},
        "options": dict(plan.options),
        "engine": {"name": engine.name, "isolates": engine.isolates} | engine.about(),
        "gpus": [{"index": gpu.index, "name": gpu.name, "driver": gpu.driver} for gpu in gpus],
        "umd": {"version": version("umd-evaluator"), "commit": _commit()},
        "packages": {name: version(name) for name in PACKAGES},
        "host": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _commit() -> str | None:
    """The checkout's commit, with "+changes" if files differ from it; None outside a git checkout."""
    where = ["git", "-C", str(paths.project())]
    try:
        head = subprocess.run(
            [*where, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20
        )
        changed = subprocess.run(
            [*where, "status", "--porcelain"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
