"""Does a model keep the contract: questions on tiny volumes, asked in a session and in batch, and every answer looked at.

The questions are the SDK's own (``zoo_sdk.check``): each modality on a plain, a flipped and an oblique anisotropic grid.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator import places
from evaluator.build import find_model
from evaluator.engines import open_engine
from evaluator.engines.spec import Limits, Workspace
from evaluator.prepare import prepare
from evaluator.sessions import Conversation, answer_batch
from evaluator.types import Failure
from evaluator.volumes import MaskGate
from zoo_sdk.check import make_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from evaluator.sessions import Answer
    from zoo_sdk.wire import Request

    Mask = NDArray[np.uint8] | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check."""

    check: str
    ok: bool
    detail: str


def check_model(
    name: str, engine_name: str = "auto", *, say: Callable[[str], None] = lambda _: None
) -> Iterator[Result]:
    """Check a model of the zoo; yields results as they are known. Raises UserError for what the user can mend."""
    engine = open_engine(engine_name)
    model = prepare(find_model(name), engine, say)
    (places.cache() / "work").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=places.cache() / "work"))
    run_id, log = f"check-{folder.name}", folder / "model.log"
    try:
        workspace = Workspace(input=folder / "input", output=folder / "output")
        asked = [request for request in make_requests(workspace.input) if _takes(model.card.inputs, request)]
        workspace.output.mkdir()
        for path in (folder, *workspace.input.rglob("*")):
            path.chmod(0o755)
        limits = Limits(timeout=model.card.timeout, memory=model.card.memory, shm=model.card.shm)
        with MaskGate() as gate:
            batch = _masks(gate, answer_batch(engine, model, workspace, asked, limits, run_id=run_id, log=log))
            yield _summary("batch", batch)
            if not (model.card.session and engine.sessions):
                return
            with Conversation(engine, model, workspace, limits, run_id=run_id, log=log) as talk:
                session = _masks(gate, (talk.ask(request) for request in asked))
                yield _summary("session", session)
                again = _masks(gate, (talk.ask(request) for request in reversed(asked)))
                yield _equal("session equals batch", batch, session)
                yield _equal("the same question gets the same answer, whatever was asked before", session, again)
                yield _unknown_target(talk.ask(_strange(asked[0], workspace)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _takes(inputs: tuple[tuple[str, ...], ...], request: Request) -> bool:
    return tuple(request.images) in inputs


def _masks(gate: MaskGate, answers: Iterable[Answer]) -> dict[str, Mask]:
    masks: dict[str, Mask] = {}
    for answer in answers:
        said = answer.reply.targets.get("liver") if answer.reply else None
        if answer.failure or answer.folder is None:
            masks[answer.request.id] = answer.failure or Failure(status="missing")  # type: ignore[arg-type]
        elif said and said.status != "ok":
            masks[answer.request.id] = Failure(status=said.status, detail=f"{said.kind}: {said.message}")  # type: ignore[arg-type]
        else:
            path = answer.folder / "liver.nii.gz"
            made = gate.check(path, answer.request.grid, 2**20)
            masks[answer.request.id] = made if isinstance(made, Failure) else made.whole()
    return masks


def _summary(mode: str, masks: dict[str, Mask]) -> Result:
    failed = {name: mask for name, mask in masks.items() if isinstance(mask, Failure) and mask.status != "unsupported"}
    refused = sum(isinstance(mask, Failure) for mask in masks.values()) - len(failed)
    told = "; ".join(f"{name}: {failure.status} {failure.detail}"[:300] for name, failure in failed.items())
    return Result(
        check=f"{mode} on plain, flipped and oblique grids",
        ok=not failed,
        detail=told or f"{len(masks) - refused} masks, {refused} refused as unsupported",
    )


def _equal(check: str, a: dict[str, Mask], b: dict[str, Mask]) -> Result:
    differing = [name for name in a if not _same(a[name], b.get(name))]
    return Result(
        check=check, ok=not differing, detail=f"differ: {', '.join(differing)}" if differing else f"{len(a)} equal"
    )


def _same(a: Mask, b: Mask | None) -> bool:
    if isinstance(a, Failure) or isinstance(b, Failure) or b is None:
        return isinstance(a, Failure) and isinstance(b, Failure) and a.status == b.status
    return np.array_equal(a, b)


def _strange(request: Request, workspace: Workspace) -> Request:
    """A target that no model knows, without any prompt."""
    import json

    from zoo_sdk.wire import Target, dump_request

    strange = replace(request, id="strange", targets=(Target(name="philtrum", text=None),))
    path = workspace.input / "requests" / "strange.json"
    path.write_text(json.dumps(dump_request(strange)), encoding="utf-8")
    path.chmod(0o644)
    return strange


def _unknown_target(answer: Answer) -> Result:
    check = "a target without a prompt is answered, not crashed over"
    if answer.failure:
        return Result(check=check, ok=False, detail=f"{answer.failure.status}: {answer.failure.detail}"[:300])
    said = answer.reply.targets.get("philtrum") if answer.reply else None
    return Result(check=check, ok=said is None or said.status != "error", detail=said.status if said else "answered")
