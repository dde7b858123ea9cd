"""Where converted studies are: images for the evaluator, and a private folder that stays here.

``STORE/S001/1/PT.nii.gz`` holds no identifier. ``STORE/private`` holds the key of the pseudonyms,
the index with paths of the sources, and which source files an image came from; only its owner can
read it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator import paths
from evaluator.datasets.dicom.headers import new_key
from evaluator.errors import DatasetError, UserError, write_fault
from evaluator.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRIVATE = "private"
OWNER_ONLY = 0o700


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of one imported dataset."""

    folder: Path

    @property
    def private(self) -> Path:
        """The folder that only its owner can read."""
        return self.folder / PRIVATE

    @property
    def index(self) -> Path:
        """The index of the study tree."""
        return self.private / "index.jsonl"

    def key(self) -> bytes:
        """The key of the pseudonyms, which is drawn at the first use."""
        path = self.private / "key"
        if not path.exists():
            write_bytes(path, new_key().hex().encode())
        try:
            return bytes.fromhex(path.read_text())
        except (OSError, ValueError):
            raise UserError(f"{path} is damaged; remove {self.folder} and import again") from None

    def read(self, name: str) -> dict[str, Any]:
        """A JSON object of the private folder; empty if there is none."""
        path = self.private / f"{name}.json"
        return read_json(path) if path.exists() else {}

    def write(self, name: str, body: Mapping[str, Any]) -> None:
        """Write a JSON object to the private folder."""
        write_json(self.private / f"{name}.json", body)


def open_store(name: str, source: Path, folder: Path | None = None) -> Store:
    """The store of a dataset; its private folder is made.

    Args:
        name: of the dataset.
        source: the study tree.
        folder: where the store is; None for a folder in the project's cache.

    Raises:
        UserError: the store lies inside the sources.
        HostError: the folder cannot be made.
    """
    folder = folder or paths.cache() / "data" / f"{name}-from-dicom"
    folder = folder.resolve()
    if folder.is_relative_to(source.resolve()):
        raise UserError(f"{folder} lies inside the studies; choose another one with --converted")
    if not (folder / PRIVATE).is_dir() and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files; choose a new folder with --converted")
    store = Store(folder)
    try:
        store.private.mkdir(parents=True, exist_ok=True)
        folder.chmod(OWNER_ONLY)
        store.private.chmod(OWNER_ONLY)
    except OSError as error:
        raise write_fault(store.private, error) from error
    return store


class Pseudonyms:
    """Names of subjects (S001, S002, ...) and of sessions (1, 2, ...) that stay as they were given.

    Subjects that are new get the next numbers in the order of their keyed hashes, which says
    nothing about them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        body = store.read("pseudonyms")
        self._subjects: dict[str, str] = dict(body.get("subjects", {}))
        self._sessions: dict[str, dict[str, str]] = dict(body.get("sessions", {}))

    def add_subjects(self, hashes: Iterable[str]) -> None:
        """Number the subjects that have no name yet."""
        for subject in sorted(set(hashes) - self._subjects.keys()):
            self._subjects[subject] = f"S{len(self._subjects) + 1:03d}"

    def subject(self, subject: str) -> str:
        """The name of a subject that was added."""
        return self._subjects[subject]

    def session(self, subject: str, session: str) -> str:
        """The name of a session, which is numbered at its first use."""
        numbers = self._sessions.setdefault(subject, {})
        return numbers.setdefault(session, str(len(numbers) + 1))

    def save(self) -> None:
        """Write all names to the private folder."""
        self._store.write("pseudonyms", {"subjects": self._subjects, "sessions": self._sessions})


def source_files(image: Path) -> list[Path]:
    """The DICOM files that an image of a store was made from, in the order of its slices.

    Raises:
        DatasetError: the image was not imported from DICOM, or a file is gone.
    """
    for folder in image.resolve().parents:
        name = image.resolve().relative_to(folder).as_posix()
        record = folder / PRIVATE / "sources" / f"{name}.json"
        if record.is_file():
            entry = read_json(record)
            break
    else:
        entry = None
    if entry is None:
        raise DatasetError(
            f"{image.name} was not imported from DICOM (umd data import --layout dicom), so there "
            "is no series that a DICOM-SEG can refer to"
        )
    root = Path(entry["root"])
    files = [root / name for name in entry["files"]]
    missing = sum(not path.is_file() for path in files)
    if missing:
        raise DatasetError(
            f"{missing} of the {len(files)} DICOM files of {image.parent.parent.name} "
            f"{image.name} are gone; import the studies again from where they are now"
        )
    return files


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; a last line that was cut short is passed over."""
    if not path.exists():
        return []
    bodies = []
    for line in path.read_bytes().splitlines():
        try:
            body = json.loads(line)
        except ValueError:
            continue
        if isinstance(body, dict):
            bodies.append(body)
    return bodies


def _ends_within_a_line(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def append_lines(path: Path, bodies: Iterable[Mapping[str, Any]]) -> None:
    """Add JSON objects at the end of a file of lines; raises HostError."""
    text = "".join(json.dumps(body, separators=(",", ":")) + "\n" for body in bodies)
    try:
        if _ends_within_a_line(path):
            text = f"\n{text}"
        # only the owner may read it, from its first byte on
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text.encode())
    except OSError as error:
        raise write_fault(path, error) from error
