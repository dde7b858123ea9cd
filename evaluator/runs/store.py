"""The run folder: the only record of what was done; its files survive a kill at any moment.

    runs/<name>/
      run.json                        identity of the run, and what is needed to repeat it
      checks.json                     what was found in the data before the model was run
      prompts/<case>.json             the prompts of round 0, with their hash
      records/<case>/<modality>.json  one scan's requests, statuses, seconds, masks by hash
      masks/<case>/<modality>.zip      the scan's masks
      scores/<case>/<modality>.json   computed from the above and the references, at any time again
      limits/<case>/<modality>.json   floors and ceilings of the scores
      reproducibility.json            whether predictions depend on the order of cases
      scores.csv, scores.parquet      every score, one a row
      predictions.parquet             every prediction, one a row
      files.json                      the state of the files above when the tables were made
      model.log                       what the container printed

Every file is written under another name, fsynced and renamed. A finished scan is recognised by its
key (image digest, files, prompts, contract) and by the hashes of its masks. ``docs/run-format.md``
describes each field.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.errors import DamagedFileError, RunConflictError, UserError
from evaluator.files import safe_name
from evaluator.locks import file_lock, read_holder
from evaluator.runs.damaged_files import name_damaged, readable_record
from evaluator.runs.data_checks import DataChecks
from evaluator.runs.json_types import read_typed, write_hashed, write_typed
from evaluator.runs.mask_files import MaskFiles
from evaluator.runs.records import CasePrompts, ScanRecord, ScanScores
from evaluator.runs.reproducibility_records import Reproducibility
from evaluator.runs.run_info import RunIdentity, RunInfo
from evaluator.runs.score_limits import ScanLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.runs.shards import Shard


@dataclass(frozen=True, slots=True)
class RunStore:
    """One run folder. Paths inside it are built here and nowhere else.

    Every method that reads raises UserError naming a file that is damaged.
    """

    path: Path
    #: folder to which the dataset's files were moved since the run; None: they were not
    moved_to: Path | None = None

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    def info(self) -> RunInfo:
        """The content of run.json; parsed once for each state of the file."""
        path = self.path / "run.json"
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        info = _read_info(path, status.st_size, status.st_mtime_ns)
        if self.moved_to is None:
            return info
        return replace(info, data_root=str(self.moved_to.absolute()))

    def record_output_limit(self, output_limit: str) -> None:
        """Record how the output folder of some containers was limited; the weakest limit stays."""
        with file_lock(self.path / "lock-create", "umd", optional=True):
            info = self.info()
            limits = info.limits and info.limits.also_watched(output_limit)
            if limits != info.limits:
                write_typed(self.path / "run.json", replace(info, limits=limits))

    def require_identity(self, identity: RunIdentity) -> None:
        """Raise RunConflictError where the run was made with another identity."""
        differences = self.info().identity.differences(identity)
        if differences:
            raise RunConflictError(
                f"run {self.name} already exists with different settings "
                f"({'; '.join(differences)}); choose another --name"
            )

    def record_path(self, case: str, modality: str) -> Path:
        """The file of one scan's record."""
        return self.path / "records" / safe_name(case) / f"{modality}.json"

    def score_path(self, case: str, modality: str) -> Path:
        """The file of one scan's scores."""
        return self.path / "scores" / safe_name(case) / f"{modality}.json"

    def limits_path(self, case: str, modality: str) -> Path:
        """The file of one scan's floors and ceilings."""
        return self.path / "limits" / safe_name(case) / f"{modality}.json"

    def prompts_path(self, case: str) -> Path:
        """The file of one case's prompts."""
        return self.path / "prompts" / f"{safe_name(case)}.json"

    def place_of(self, record: ScanRecord) -> Path:
        """The file that a record belongs in."""
        return self.record_path(record.case, record.modality)

    @property
    def masks(self) -> MaskFiles:
        """The masks of the run."""
        return MaskFiles(self.path)

    def missing_scans(self) -> int:
        """Scans of the run that have no record yet."""
        count = sum(1 for _ in (self.path / "records").glob("*/*.json"))
        return max(self.info().scans - count, 0)

    def record(self, case: str, modality: str) -> ScanRecord | None:
        """One scan's record; None if there is none."""
        path = self.record_path(case, modality)
        return read_typed(ScanRecord, path) if path.is_file() else None

    def records(self, cases: Iterable[str] | None = None) -> Iterator[ScanRecord]:
        """Every scan's record, in path order; a damaged or stray file is named and passed over.

        Args:
            cases: ids of cases; None: all.
        """
        records = self.path / "records"
        folders = records.glob("*/") if cases is None else [records / safe_name(c) for c in cases]
        for path in sorted(path for folder in folders for path in folder.glob("*.json")):
            record = readable_record(path, self.place_of)
            if record is not None:
                yield record

    def write_record(self, record: ScanRecord) -> None:
        """Write one scan's record."""
        write_hashed(self.record_path(record.case, record.modality), record)

    def scores(self, case: str, modality: str) -> ScanScores | None:
        """One scan's scores; None if there are none."""
        path = self.score_path(case, modality)
        return read_typed(ScanScores, path) if path.is_file() else None

    def write_scores(self, scores: ScanScores) -> None:
        """Write one scan's scores."""
        write_hashed(self.score_path(scores.case, scores.modality), scores)

    def limits(self, case: str, modality: str) -> ScanLimits | None:
        """One scan's floors and ceilings; None if there are none."""
        path = self.limits_path(case, modality)
        return read_typed(ScanLimits, path) if path.is_file() else None

    def write_limits(self, limits: ScanLimits) -> None:
        """Write one scan's floors and ceilings."""
        write_typed(self.limits_path(limits.case, limits.modality), limits)

    def prompts(self, case: str, *, verify: bool = True) -> CasePrompts | None:
        """One case's prompts; None if there are none.

        With ``verify`` raises UserError for prompts that were changed since they were written.
        """
        path = self.prompts_path(case)
        if not path.is_file():
            return None
        return _read_prompts(path) if verify else read_typed(CasePrompts, path)

    def all_prompts(self) -> Iterator[CasePrompts]:
        """Every case's prompts, in path order; raises as ``prompts`` does."""
        for path in sorted((self.path / "prompts").glob("*.json")):
            yield _read_prompts(path)

    def write_prompts(self, prompts: CasePrompts) -> None:
        """Write one case's prompts."""
        write_typed(self.prompts_path(prompts.case), prompts)

    def checks(self) -> DataChecks:
        """What was found in the data; nothing for runs that were made without checks."""
        path = self.path / "checks.json"
        return read_typed(DataChecks, path) if path.is_file() else DataChecks()

    def write_checks(self, checks: DataChecks, cases: Iterable[str]) -> None:
        """Add checks of these cases; other processes may do the same at the same time."""
        with file_lock(self.path / "lock-checks", "umd", optional=True):
            present = self.checks()
            merged = present.updated(checks, frozenset(cases))
            if merged != present or not (self.path / "checks.json").is_file():
                write_typed(self.path / "checks.json", merged)

    def reproducibility(self) -> Reproducibility | None:
        """Whether predictions depend on the order of cases; None if it was not checked."""
        for name in ("reproducibility.json", "equality.json"):
            path = self.path / name
            try:
                if path.is_file():
                    return read_typed(Reproducibility, path)
            except DamagedFileError as error:
                name_damaged(path, str(error))
        return None

    def write_reproducibility(self, value: Reproducibility) -> None:
        """Write the result of the check."""
        write_typed(self.path / "reproducibility.json", value)

    def masks_are_intact(self, record: ScanRecord) -> bool:
        """True when every mask that the record names exists with the hash that it names."""
        return not self.masks.problems(record.masks(), trusted=False)

    @contextmanager
    def writing(self, shard: Shard | None = None) -> Iterator[None]:
        """Hold the run for writing, or one shard of it beside other shards.

        Raises RunConflictError when another process holds the run or the shard.
        """
        run_lock = self.path / "lock"
        part = self.path / f"lock-{shard.index}-of-{shard.count}" if shard else None
        with ExitStack() as stack:
            for path, shared in ((run_lock, shard is not None), (part, False)):
                if path is None:
                    continue
                try:
                    # without locks of the file system, claims on cases keep processes apart
                    lock = file_lock(path, "umd", shared=shared, wait=False, optional=True)
                    stack.enter_context(lock)
                except BlockingIOError:
                    raise RunConflictError(
                        f"run {self.name} is being written by {read_holder(path)}; "
                        "wait for it, or choose another --name"
                    ) from None
            yield


def create_run(name: str, info: RunInfo) -> RunStore:
    """Create the run's folder, or open it when it exists with the same identity.

    Two processes may create one run at the same time: the first one's ``run.json`` stays.

    Raises:
        RunConflictError: a run of that name exists with another identity, or without one.
    """
    store = RunStore(paths.runs() / safe_name(name))
    file = store.path / "run.json"
    with file_lock(store.path / "lock-create", "umd", optional=True):
        if not file.exists():
            if any((store.path / "records").glob("*/*.json")):
                raise RunConflictError(
                    f"{store.path} holds records but no run.json, so nobody can tell of which "
                    "model they are; restore run.json, or choose another --name"
                )
            write_typed(file, info)
            return store
        store.require_identity(info.identity)
        recorded = store.info()
        if (continued := recorded.continued_by(info)) != recorded:
            write_typed(file, continued)
    return store


def find_run(name: str) -> RunStore | None:
    """The run of this name in the folder of runs; None if there is none."""
    store = RunStore(paths.runs() / safe_name(name))
    return store if (store.path / "run.json").is_file() else None


@lru_cache(maxsize=64)
def _read_info(path: Path, _size: int, _mtime: int) -> RunInfo:
    return read_typed(RunInfo, path)


def _read_prompts(path: Path) -> CasePrompts:
    prompts = read_typed(CasePrompts, path)
    if prompts.sha256 != prompts.fingerprint():
        raise UserError(
            f"{path} was changed since it was written (sha256 differs); "
            "make the run again under another --name"
        )
    return prompts
