"""The limits of a run: computed where they are missing, and kept with the run and in the cache."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.datasets import load_dataset_of_run
from evaluator.errors import HostError, UserError
from evaluator.files import file_sha256, fingerprint
from evaluator.limits.case_limits import CaseLimits
from evaluator.limits.typical_shapes import TypicalShapes
from evaluator.manifests.protocols import load_protocol
from evaluator.runs.json_types import read_typed, write_typed
from evaluator.runs.score_limits import ScanLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from evaluator.runs.records import CasePrompts, ScanRecord
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Dataset, Modality, Protocol

logger = logging.getLogger(__name__)

#: increased when a rule of floors or ceilings changes, so that stored limits are computed again
RULES = 2


def ensure_limits(runs: Iterable[RunStore]) -> None:
    """Compute the limits of runs that were made before there were any; log what is not possible.

    A run with a limits file for each record is not read further.
    """
    for run in runs:
        counts = [
            sum(1 for _ in (run.path / name).glob("*/*.json")) for name in ("records", "limits")
        ]
        if counts[1] < counts[0] and (problem := complete_limits(run)):
            logger.warning(f"{run.name}: {problem}")


def complete_limits(run: RunStore) -> str:
    """Compute the floors and ceilings that a run lacks, and write them into the run.

    No model is needed, but the dataset's files are.

    Returns:
        Why limits are missing, as a sentence; empty if the run has all of them.
    """
    return RunLimits(run).complete()


@dataclass(slots=True)
class RunLimits:
    """The limits of one run; dataset and typical shapes are read once, at the first use."""

    run: RunStore
    _sources: tuple[Dataset, Protocol, TypicalShapes] | None = None

    def complete(self, cases: Iterable[str] | None = None) -> str:
        """As ``complete_limits``, of some cases or of all.

        Args:
            cases: ids; None: all cases of the run that have records.
        """
        missing = _missing(self.run, cases)
        if not missing:
            return ""
        try:
            dataset, protocol, shapes = self._read_sources()
            unregistered = self.run.info().unregistered
        except UserError as error:
            return f"no floors and ceilings: {error}"
        by_id = {case.id: case for case in dataset.cases}
        problems: list[str] = []
        for case, of_case in missing.items():
            try:
                prompts = of_case[0][1]
                registered = not unregistered and has_one_frame(prompts)
                source = partial(CaseLimits, by_id[case], protocol, shapes, registered=registered)
                _complete_case(self.run, by_id[case], source, of_case)
            except HostError as error:  # the run's folder cannot be written, for no case
                return f"floors and ceilings were not stored: {error}"
            except (UserError, OSError, KeyError) as error:
                problems.append(f"{case}: {error}")
        return f"no floors and ceilings of {'; '.join(problems)}" if problems else ""

    def _read_sources(self) -> tuple[Dataset, Protocol, TypicalShapes]:
        if self._sources is None:
            dataset, protocol = _sources(self.run)
            self._sources = (dataset, protocol, TypicalShapes(dataset.cases))
        return self._sources


def _missing(
    run: RunStore, cases: Iterable[str] | None
) -> dict[str, list[tuple[ScanRecord, CasePrompts, str]]]:
    """Case -> the scans with predictions whose limits are absent or of other prompts or rules."""
    dataset_sha256 = run.info().identity.dataset_sha256
    missing: dict[str, list[tuple[ScanRecord, CasePrompts, str]]] = {}
    prompts: CasePrompts | None = None
    for record in run.records(cases):
        if not any(entry.request for entry in record.rounds):
            continue
        if prompts is None or prompts.case != record.case:
            prompts = run.prompts(record.case)
        if prompts is None or record.modality not in prompts.prompts:
            continue
        key = _key(record, prompts, dataset_sha256)
        present = run.limits(record.case, record.modality)
        if present is None or present.key != key:
            missing.setdefault(record.case, []).append((record, prompts, key))
    return missing


def _key(record: ScanRecord, prompts: CasePrompts, dataset_sha256: str) -> str:
    return fingerprint(
        {
            "rules": RULES,
            "dataset": dataset_sha256,
            "modality": record.modality,
            "source": prompts.source,
            "prompts": prompts.sha256,
        }
    )


def _sources(run: RunStore) -> tuple[Dataset, Protocol]:
    """The run's dataset and protocol; raises UserError if they are absent or have changed."""
    info = run.info()
    dataset = load_dataset_of_run(info.dataset_source, info.root, info.remembered_root)
    protocol = load_protocol(info.protocol_source)
    if dataset.sha256 != info.identity.dataset_sha256:
        raise UserError(f"the dataset has changed since run {run.name} was made")
    if protocol.sha256 != info.identity.protocol_sha256:
        raise UserError(f"the protocol has changed since run {run.name} was made")
    return dataset, protocol


def _complete_case(
    run: RunStore,
    case: Case,
    read_case: Callable[[], CaseLimits],
    scans: list[tuple[ScanRecord, CasePrompts, str]],
) -> None:
    limits: CaseLimits | None = None
    for record, prompts, key in scans:
        stored = _cached(key)
        if stored is None:
            _require_references(case, record)
            limits = limits or read_case()
            rows = limits.rows(record.modality, prompts.scan(record.modality))
            stored = ScanLimits(
                case=case.id,
                modality=record.modality,
                key=key,
                rows=rows,
                resampling=limits.resampling(record.modality),
            )
            with suppress(HostError):
                write_typed(_cache_path(key), stored)
        run.write_limits(stored)


def has_one_frame(prompts: CasePrompts) -> bool:
    """Whether a target's prompts are of one place, simulated on one image, in all images.

    It is False for prompts that were simulated on each image's own reference, also where a run
    replays the prompts of another run.
    """
    anchors: dict[tuple[int, str], set[Modality | None]] = {}
    for modality in prompts.prompts:
        for seed, targets in prompts.scan(modality).prompts.items():
            for target, prompt in targets.items():
                anchors.setdefault((seed, target), set()).add(prompt.anchor)
    return all(len(of_target) == 1 for of_target in anchors.values())


def _require_references(case: Case, record: ScanRecord) -> None:
    """Raise UserError unless the references are the files that the run was scored with."""
    scan = case.scans[record.modality]
    for number, reference in enumerate(scan.references):
        expected = record.files.get(f"{record.modality} reference {number}")
        if expected is not None and file_sha256(reference.path) != expected:
            raise UserError(f"{reference.path} has changed since the run was made")


def _cached(key: str) -> ScanLimits | None:
    path = _cache_path(key)
    if not path.is_file():
        return None
    try:
        return read_typed(ScanLimits, path)
    except UserError:
        return None


def _cache_path(key: str) -> Path:
    return paths.cache() / "limits" / f"{key}.json"
