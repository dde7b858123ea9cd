"""Is a model the same however it is asked: some scans of a run asked again, each alone, and all of them in one batch.

A model that carries something over from one case to the next (a cache, a memory bank, a random stream) has scores that
hang on the order of the cases. It is found by asking again in fresh containers, where nothing came before, and named in
``equality.json`` and wherever the run is shown. Where a model differs from itself when asked alone twice, it is not
deterministic, and nothing is said of its state.

Two rounds of the first seed are asked, so that the cost is that of some container starts and a few requests.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evaluator.containers.workspace import workspace_of
from evaluator.evaluation.record_writer import RunContext
from evaluator.evaluation.scan_task import talk_about
from evaluator.files import fingerprint, read_json, write_json
from evaluator.imaging.grid_masks import crop_mask
from evaluator.prompting import dice
from evaluator.runs.store import RunStore
from evaluator.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluator.evaluation.model_connection import ModelConnection
    from evaluator.files import Json
    from evaluator.types import Case, Modality

    Scans = Sequence[tuple[Case, Modality]]
    #: (case, modality, round, target) -> the run, and what became of the target in it
    Outcomes = dict[tuple[str, str, int, str], tuple[RunStore, Json]]

logger = logging.getLogger(__name__)

ROUNDS = 2
#: differences that are told one by one
MOST_TOLD = 20


def recheck(
    room: RunContext,
    cases: Sequence[Case],
    access: ModelConnection,
    *,
    sample: int,
    gpu: str | None,
) -> None:
    """Ask up to ``sample`` of the run's scans again and write what came of it; nothing where that was done before."""
    path = room.run.path / "equality.json"
    scans = choose_scans(room.run, cases, sample)
    keys = fingerprint(
        [read_json(room.run.record_path(case.id, modality))["key"] for case, modality in scans]
    )
    if not scans or (path.exists() and read_json(path).get("of") == keys):
        return
    logger.info(
        f"asking {len(scans)} scans again, each alone and all in one batch (--recheck 0 leaves this out)"
    )
    begun = time.perf_counter()
    done = _outcomes(room.run, scans)
    with (
        _asked(room, access, scans, gpu, "alone") as alone,
        _asked(room, access, scans, gpu, "batch") as batch,
    ):
        differences = {"alone": _differences(done, alone), "batch": _differences(done, batch)}
        repeatable = True
        if any(differences.values()):
            with _asked(room, access, scans, gpu, "alone-again") as again:
                repeatable = not _differences(alone, again)
    verdict = (
        "equal"
        if not any(differences.values())
        else "keeps-state"
        if repeatable
        else "not-deterministic"
    )
    body = {
        "verdict": verdict,
        "asked": "session" if access.session else "batch",
        "of": keys,
        "scans": [{"case": case.id, "modality": modality} for case, modality in scans],
        "masks": len(done),
        "seconds": round(time.perf_counter() - begun, 3),
        "differences": {
            how: {"count": len(found), "first": found[:MOST_TOLD]}
            for how, found in differences.items()
        },
    }
    write_json(path, body)


def choose_scans(run: RunStore, cases: Sequence[Case], sample: int) -> list[tuple[Case, Modality]]:
    """Scans that the model was asked about, the last one and others evenly before it: those with most before them."""
    asked = [
        (case, modality)
        for case in cases
        for modality in sorted(case.scans)
        if _was_asked(run, case, modality)
    ]
    step = max(len(asked) // sample, 1)
    return asked[::-1][::step][:sample]


def _was_asked(run: RunStore, case: Case, modality: Modality) -> bool:
    path = run.record_path(case.id, modality)
    return path.exists() and any("request" in entry for entry in read_json(path).get("rounds", ()))


@contextmanager
def _asked(
    room: RunContext, access: ModelConnection, scans: Scans, gpu: str | None, name: str
) -> Iterator[Outcomes]:
    """What becomes of these scans, in one batch or each in a container of its own; its files are gone afterwards."""
    with workspace_of(f"{room.run.path} {name}") as workspace:
        own = replace(
            room,
            plan=replace(room.plan, protocol=_fewer(room.plan.protocol)),
            run=RunStore(workspace.input.parent / "run"),
            workspace=workspace,
            replay=room.run,
            progress=lambda *_: None,
        )
        talks = (
            talk_about(own, case, modality, number) for number, (case, modality) in enumerate(scans)
        )
        if name == "batch":
            access.answer_all(talks, workspace, gpu=gpu, session=False)
        else:
            for talk in talks:
                access.answer_all(iter([talk]), workspace, gpu=gpu, session=access.session)
        yield _outcomes(own.run, scans)


def _fewer(protocol: Any) -> Any:
    rounds = replace(protocol.rounds, count=min(protocol.rounds.count, ROUNDS))
    return replace(protocol, rounds=rounds, seeds=protocol.seeds[:1])


def _outcomes(run: RunStore, scans: Scans) -> Outcomes:
    found: Outcomes = {}
    for case, modality in scans:
        path = run.record_path(case.id, modality)
        entries = read_json(path).get("rounds", []) if path.exists() else []
        first = entries[0]["seed"] if entries else None
        for entry in entries:
            if entry["seed"] == first and entry["round"] < ROUNDS:
                for target, made in entry["targets"].items():
                    found[case.id, modality, entry["round"], target] = (run, made)
    return found


def _differences(one: Outcomes, other: Outcomes) -> list[Json]:
    """What of the first is otherwise in the second."""
    told = []
    for key, (run, made) in one.items():
        again_run, again = other.get(key, (run, {"status": "not-asked"}))
        same = made["status"] == again["status"] and _sha256(made) == _sha256(again)
        if not same:
            both = _sha256(made) and _sha256(again)
            apart = (
                {"dice": round(_overlap(run.path, made, again_run.path, again), 6)} if both else {}
            )
            names = dict(zip(("case", "modality", "round", "target"), key, strict=True))
            told.append(names | {"status": made["status"], "again": again["status"]} | apart)
    return told


def _sha256(made: Json) -> str | None:
    mask = made.get("mask")
    return mask["sha256"] if mask else None


def _overlap(folder: Path, made: Json, again_folder: Path, again: Json) -> float:
    one, other = (
        crop_mask(*read_labels(where / what["mask"]["file"]))
        for where, what in ((folder, made), (again_folder, again))
    )
    return dice(one, other)
