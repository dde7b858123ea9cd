"""The run folder: the only record of what was done, made of files that survive a kill at any moment.

    runs/<name>/
      run.json                        what is needed to repeat it: identity, provenance, protocol
      prompts/<case>.json             the prompts of round 0, as drawn, with their hash
      records/<case>/<modality>.json  one scan's predictions: requests, statuses, seconds, masks by hash
      masks/<case>/<modality>/s<seed>/r<round>/<target>.nii.gz
      scores/<case>/<modality>.json   made from the two above and the references, at any time again
      scores.csv, scores.parquet      every score, one a row
      predictions.parquet             every prediction, one a row
      model.log                       what the container printed

Every file is written under another name, fsynced and renamed. A finished scan is recognised by its key (image digest,
scan, requests, contract) and by the hashes of its masks. One process writes a run at a time (an flock on ``lock``).
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.errors import RunConflictError, UnknownNameError, UserError
from evaluator.files import Json, read_json, safe_name, write_json
from evaluator.locks import file_lock, read_holder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evaluator.types import Modality


@dataclass(frozen=True, slots=True)
class RunStore:
    """One run folder. Paths inside it are made here and nowhere else."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    def about(self) -> Json:
        """The content of run.json."""
        return read_json(self.path / "run.json")

    def record_path(self, case: str, modality: Modality) -> Path:
        """Where one scan's record lies."""
        return self.path / "records" / safe_name(case) / f"{modality}.json"

    def score_path(self, case: str, modality: Modality) -> Path:
        """Where one scan's scores lie."""
        return self.path / "scores" / safe_name(case) / f"{modality}.json"

    def prompts_path(self, case: str) -> Path:
        """Where one case's drawn prompts lie."""
        return self.path / "prompts" / f"{safe_name(case)}.json"

    def mask_path(
        self, case: str, modality: Modality, *, seed: int, round_number: int, target: str
    ) -> Path:
        """Where the mask of one target, seed and round lies."""
        folder = self.path / "masks" / safe_name(case) / modality / f"s{seed}" / f"r{round_number}"
        return folder / f"{safe_name(target)}.nii.gz"

    def records(self) -> Iterator[Json]:
        """Every scan's record, in path order."""
        for path in sorted((self.path / "records").glob("*/*.json")):
            yield read_json(path)

    def masks_are_intact(self, record: Json) -> bool:
        """True when every mask that the record names lies there with the hash it names."""
        masks = (
            target.get("mask")
            for entry in record.get("rounds", ())
            for target in entry["targets"].values()
        )
        return all(
            _hash_or_none(self.path / mask["file"]) == mask["sha256"] for mask in masks if mask
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for writing; raises RunConflictError when another process holds it."""
        lock = file_lock(self.path / "lock", "a run", wait=False)
        with ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except OSError:
                holder = read_holder(self.path / "lock")
                raise RunConflictError(
                    f"run {self.name} is being written by {holder}; "
                    "wait for it, or choose another --name"
                ) from None
            yield


def create_run(name: str, about: Mapping[str, Any]) -> RunStore:
    """Make the run's folder, or open it when it is there and of the same identity.

    Raises RunConflictError when a run of that name was made of other parts (``about["identity"]`` differs).
    """
    store = RunStore(paths.runs() / safe_name(name))
    file = store.path / "run.json"
    if file.exists():
        before, now = read_json(file)["identity"], about["identity"]
        changed = [
            f"{key} was {before.get(key)}, is {now.get(key)}"
            for key in now
            if before.get(key) != now.get(key)
        ]
        if changed:
            raise RunConflictError(
                f"run {name} was made of other parts: {'; '.join(changed)}. Give this one a new --name"
            )
    else:
        write_json(file, about)
    return store


def open_run(name_or_path: str) -> RunStore:
    """An existing run by name or path; raises UnknownNameError with near misses."""
    for path in (Path(name_or_path), paths.runs() / name_or_path):
        if (path / "run.json").is_file():
            return RunStore(path.resolve())
    known = [file.parent.name for file in paths.runs().glob("*/run.json")]
    raise UnknownNameError("run", name_or_path, known)


def newest_run() -> RunStore:
    """The run that was started last; raises UserError when there is none."""
    files = sorted(paths.runs().glob("*/run.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(
            f"there is no run in {paths.runs()} yet; make one with: umd run -m MODEL -d DATASET"
        )
    return RunStore(files[-1].parent)


def _hash_or_none(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
