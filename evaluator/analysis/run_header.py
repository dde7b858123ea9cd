"""What stands above and below the tables of a run: how it was made, and what to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluator.analysis.data_warnings import data_warnings, rounds_line
from evaluator.analysis.scorer_versions import scorer_line
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.file_states import file_states
from evaluator.runs.run_warnings import warnings_of

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


def header(run: RunStore) -> list[str]:
    """Describe model, dataset, protocol and references, in lines to print above every table."""
    info = run.info()
    identity = info.identity
    container = "" if info.engine.isolates else " (without a container)"
    prompt = info.prompt_kind or "none that the model supports"
    warnings = []
    if info.random_weights:
        warnings.append(f"RANDOM WEIGHTS, NOT A RESULT ({info.card['umd.weights']}).")
    if info.dataset.synthetic:
        warnings.append("SYNTHETIC DATA: these scores do not apply to patients.")
    warnings += warnings_of(run)
    references = f"References: {info.dataset.reference_origin}."
    title = f"{identity.model}{container} on {info.dataset.title}"
    lines = [
        f"{title}, protocol {identity.protocol}, prompt: {prompt}",
        " ".join([*warnings, references]),
    ]
    if identity.options:
        lines.append(f"options: {identity.options}")
    lines += data_warnings(info, run)
    return [*lines, *scorer_line(run, identity.model), *rounds_line(run, identity.model)]


def not_run(run: RunStore) -> list[str]:
    """List the scans for which no prediction was requested, with the reason."""
    return [
        f"{record.case} {record.modality}: {record.reason}"
        for record in run.records(containing=b"not-run")
        if record.state == "not-run"
    ]


def describe_floors(run: RunStore) -> str:
    """Say of how many subjects the floors and ceilings are; empty if they are of all."""
    names = {path[len("limits/") :] for path, _, _ in file_states(run.path, ["limits"])}
    if all(path[len("records/") :] in names for path, _, _ in file_states(run.path, ["records"])):
        return ""
    subjects: set[str] = set()
    lacking: set[str] = set()
    for record in run.records():
        if not any(entry.request for entry in record.rounds):
            continue
        subjects.add(record.subject)
        if not run.limits_path(record.case, record.modality).is_file():
            lacking.add(record.subject)
    if not lacking:
        return ""
    count = f"{len(subjects) - len(lacking)} of {len(subjects)} subjects"
    if run.missing_scans():
        return f"Floors and ceilings are of {count} so far; the others follow when the run ends."
    return f"Floors and ceilings are of {count}; umd score {run.name} computes the others."


def describe_images(run: RunStore) -> str:
    """Say on which grid images and references were put, and what that costs; empty: on their own.

    The cost is the Dice of a reference that is resampled to the common grid and back, against
    itself.
    """
    protocol = load_protocol(run.info().protocol_source)
    plans = [protocol.images_of(seed) for seed in protocol.seeds]
    if all(plan.grid == "own" for plan in plans):
        return ""
    costs: dict[str, list[float]] = {}
    for record in run.records():
        limits = run.limits(record.case, record.modality)
        if limits is not None and limits.resampling:
            costs.setdefault(str(record.modality), []).extend(limits.resampling.values())
    parts = [
        f"{modality} {np.mean(values):.3f} (least {min(values):.3f})"
        for modality, values in sorted(costs.items())
    ]
    cost = ", ".join(parts) or "nothing was resampled"
    common = next(plan for plan in plans if plan.grid == "common")
    size = (
        f"cubes of {common.spacing_mm:g} mm" if common.spacing_mm else f"that of {common.grid_of}"
    )
    return (
        f"Common grid ({size}): images by linear interpolation, averaged over larger voxels; a "
        "voxel belongs to a reference if half of it does. Dice of references resampled to it and "
        f"back: {cost}."
    )
