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

import fcntl
import hashlib
import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evaluator import places
from evaluator.errors import RunConflict, UnknownName, UserError, write_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evaluator.types import Modality

Json = dict[str, Any]


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

    def mask_path(self, case: str, modality: Modality, *, seed: int, round_number: int, target: str) -> Path:
        """Where the mask of one target, seed and round lies."""
        folder = self.path / "masks" / safe_name(case) / modality / f"s{seed}" / f"r{round_number}"
        return folder / f"{safe_name(target)}.nii.gz"

    def records(self) -> Iterator[Json]:
        """Every scan's record, in path order."""
        for path in sorted((self.path / "records").glob("*/*.json")):
            yield read_json(path)

    def masks_are_intact(self, record: Json) -> bool:
        """True when every mask that the record names lies there with the hash it names."""
        masks = (target.get("mask") for entry in record.get("rounds", ()) for target in entry["targets"].values())
        return all(_hash_or_none(self.path / mask["file"]) == mask["sha256"] for mask in masks if mask)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for writing; raises RunConflict when another process holds it."""
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                raise RunConflict(
                    f"run {self.name} is being written by {holder}; wait for it, or give this one a --name of its own"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
            yield


def create_run(name: str, about: Mapping[str, Any]) -> RunStore:
    """Make the run's folder, or open it when it is there and of the same identity.

    Raises RunConflict when a run of that name was made of other parts (``about["identity"]`` differs).
    """
    store = RunStore(places.runs() / safe_name(name))
    file = store.path / "run.json"
    if file.exists():
        before, now = read_json(file)["identity"], about["identity"]
        changed = [f"{key} was {before.get(key)}, is {now.get(key)}" for key in now if before.get(key) != now.get(key)]
        if changed:
            raise RunConflict(f"run {name} was made of other parts: {'; '.join(changed)}. Give this one a new --name")
    else:
        write_json(file, about)
    return store


def open_run(name_or_path: str) -> RunStore:
    """An existing run by name or path; raises UnknownName with near misses."""
    for path in (Path(name_or_path), places.runs() / name_or_path):
        if (path / "run.json").is_file():
            return RunStore(path.resolve())
    known = [file.parent.name for file in places.runs().glob("*/run.json")]
    raise UnknownName("run", name_or_path, known)


def newest_run() -> RunStore:
    """The run that was started last; raises UserError when there is none."""
    files = sorted(places.runs().glob("*/run.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(f"there is no run in {places.runs()} yet; make one with: umd run -m MODEL -d DATASET")
    return RunStore(files[-1].parent)


def safe_name(text: str) -> str:
    """The text as a file name: letters, digits, ``._-`` stay, all else is percent-encoded; never hidden, never long."""
    name = quote(text, safe="")
    name = re.sub(r"^\.", "%2E", name)
    return name if len(name) <= 120 else name[:100] + "-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(body: Any) -> str:
    """sha256 of plain JSON values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write JSON that is either whole or not there; NaN is refused. Raises HostFault when the disk is full."""
    write_bytes(path, (json.dumps(body, indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there. Raises HostFault when the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise write_fault(path, error) from error


def read_json(path: Path) -> Json:
    """Read a JSON object that this module wrote; raises UserError naming a file that is damaged."""
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; remove the file and run again to make it anew") from error
    if not isinstance(body, dict):
        raise UserError(f"{path} is not a JSON object; remove the file and run again to make it anew")
    return body


def _hash_or_none(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
