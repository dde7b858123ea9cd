"""What every table of a run must say: that it is circular, limited, incomplete or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.runs.changed_files import change_warning
from evaluator.runs.run_info import CIRCULAR

if TYPE_CHECKING:
    from evaluator.runs.store import RunStore


def warnings_of(run: RunStore) -> list[str]:
    """The warnings of a run, a sentence each; none for a complete run as it was written.

    Raises:
        UserError: ``run.json`` or ``files.json`` is damaged.
    """
    info, warnings = run.info(), []
    if info.is_circular:
        warnings.append(CIRCULAR)
    if info.subjects < info.dataset_subjects:
        warnings.append(
            f"LIMITED: {info.subjects} of {info.dataset_subjects} subjects of the dataset."
        )
    if missing := run.missing_scans():
        warnings.append(f"INCOMPLETE: {missing} of {info.scans} scans are not done yet.")
    if info.sessions_per_gpu > 1:
        warnings.append(
            f"SHARED GPU: up to {info.sessions_per_gpu} sessions shared one GPU, so a request took "
            "longer than alone."
        )
    if changed := change_warning(run):
        warnings.append(changed)
    return warnings
