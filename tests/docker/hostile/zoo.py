"""Run attacks through an ordinary evaluation and say what came of each."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.conftest import order
from tests.docker.hostile.canary import (
    CANARY,
    differences,
    find_canary,
    holds_canary,
    look_at_host,
    make_dataset,
    set_user_id_files,
)
from tests.docker.hostile.expected import EXPECTED, REFUSALS

#: most that an attack may write to /output, bytes
OUTPUT_LIMIT = 2**26
MEMORY = "256MiB"
#: for a request, seconds: of attacks that end by it, and of the others
TIMEOUT, PATIENCE = 4.0, 40.0
#: most that a log of an attack may have on the host, bytes
MOST_LOG = 64 * 2**20
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

DOCKERFILE = """FROM umd/base
COPY models/hostile/ /opt/hostile/
ENTRYPOINT ["python3", "/opt/hostile/model.py"]
LABEL umd.contract="1" umd.name="hostile" umd.inputs="CT | MR | PT" umd.prompts="point" \\
 umd.rounds="many" umd.session="stdio" umd.memory="{memory}" umd.timeout="60" umd.shm="64MiB"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attack."""

    attack: str
    status: str
    detail: str
    #: by the evaluator's clock, of the request
    seconds: float
    #: places where the canary was found
    leaks: tuple[str, ...]
    #: what else is not as it should be
    faults: tuple[str, ...]
    #: notes of its reply, of an attack that shows what is open on this machine
    shown: str = ""

    @property
    def held(self) -> bool:
        """Whether the evaluator held against the attack."""
        return not self.leaks and not self.faults


def add_adversary(project: Path) -> None:
    """Add the hostile model to a project."""
    source = Path(__file__).with_name("image")
    shutil.copytree(
        source, project / "models/hostile", ignore=shutil.ignore_patterns("__pycache__")
    )
    text = DOCKERFILE.format(memory=MEMORY)
    (project / "dockerfiles" / "hostile.Dockerfile").write_text(text)


def timeout_of(attacks: list[str]) -> float:
    """Seconds for a request; a busy machine must not look like an attack."""
    return TIMEOUT if any("timeout" in EXPECTED[name].statuses for name in attacks) else PATIENCE


def run_attacks(attacks: list[str], folder: Path, engine, cache: Path, **more):
    """Run attacks one after the other, with an honest request after each, in one run.

    Returns:
        an outcome for each attack, and what the run changed on the host.
    """
    data = make_dataset(folder / "data", attacks)
    temporary = folder / "temporary"
    temporary.mkdir()
    before_folder, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        before = look_at_host(engine, data.parent, cache, temporary)
        run = order("hostile", data, timeout=timeout_of(attacks), force=True, **more)
        changes = differences(before, look_at_host(engine, data.parent, cache, temporary))
    finally:
        tempfile.tempdir = before_folder
    changes += [f"set-user-id: {path}" for path in set_user_id_files(run.path)]
    changes += faults_of_files(run.path)
    return _outcomes(run, attacks), changes


def faults_of_files(folder: Path) -> list[str]:
    """Leaks, controls and floods in the logs and masks of a run."""
    faults = []
    for log in folder.rglob("*.log"):
        if log.stat().st_size > MOST_LOG:
            faults.append(f"{log.name} has {log.stat().st_size} bytes")
        if find_canary([log]):
            faults.append(f"the canary is in {log.name}")
        if CONTROLS.search(log.read_text(encoding="utf-8", errors="surrogateescape")):
            faults.append(f"{log.name} has control characters")
    # the subject is in the names of a mask's folders, so its content alone is searched
    for path in folder.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist()]
        if any(holds_canary(content) for content in contents):
            faults.append(f"the canary is in {path}")
    return faults


def _outcomes(run, attacks: list[str]) -> list[Outcome]:
    honest, attacked = {}, {}
    for record in run.records():
        place, step = record.subject.removeprefix(CANARY + "-").split("-")
        (honest if step == "1" else attacked)[int(place)] = record
    outcomes = []
    for place, attack in enumerate(attacks):
        (entry,) = attacked[place].rounds
        prediction = entry.targets[attack]
        notes = dict(entry.reply.notes) if entry.reply else {}
        shown = json.dumps([prediction.detail, {k: v for k, v in notes.items() if k != "hits"}])
        leaks = [str(hit) for hit in notes.get("hits", ())]
        if CANARY in shown:
            leaks.append("its reply or the failure's text")
        faults = _faults(attack, prediction.status, notes)
        if CONTROLS.search(prediction.detail):
            faults.append("control characters in the failure's text")
        if attack == "timing-lies" and not entry.seconds > 1.0:
            faults.append(f"its time is {entry.seconds}")
        (after,) = honest[place].rounds
        if not EXPECTED[attack].harms_next:
            faults += _faults_after(run, after)
        outcomes.append(
            Outcome(
                attack=attack,
                status=str(prediction.status),
                detail=prediction.detail,
                seconds=(entry.seconds or 0.0) + (entry.load_seconds or 0.0),
                leaks=tuple(leaks),
                faults=tuple(faults),
                shown=", ".join(f"{key}: {notes[key]}" for key in notes)
                if EXPECTED[attack].shown
                else "",
            )
        )
    return outcomes


def _faults(attack: str, status: str, notes: dict) -> list[str]:
    expected = EXPECTED[attack]
    faults = []
    if status not in expected.statuses:
        faults.append(f"its status is {status}, not {' or '.join(expected.statuses)}")
    if expected.refused:
        allowed = {key: text for key, text in notes.items() if str(text) not in REFUSALS}
        faults += [f"{key}: {text}" for key, text in allowed.items()]
    if attack.startswith(("snoop", "guess")) and not notes.get("read"):
        faults.append("it read nothing, so it shows nothing")
    if notes.get("others"):
        faults.append(f"it sees processes of others: {notes['others']}")
    return faults


def _faults_after(run, entry) -> list[str]:
    """What is wrong with the honest answer behind an attack."""
    prediction = entry.targets["liver"]
    if prediction.status != "ok":
        return [f"the next request is {prediction.status}: {prediction.detail[:200]}"]
    mask, _ = run.masks.read(prediction.mask.file)
    if not 1 <= np.count_nonzero(mask) <= 27:
        return ["the mask of the next request was changed"]
    return []
