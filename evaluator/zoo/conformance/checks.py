"""Does a model keep the contract: it is asked in batch and in a session (``evaluator.zoo.conformance.requests``), and every answer looked at.

What is looked at can fail; what is measured beside it (seconds, memory, how far answers agree across orientations) is
told and does not.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from evaluator import paths
from evaluator.containers import ModelSession, answer_batch
from evaluator.containers.contracts.native import NativeContract, staged
from evaluator.containers.engines import open_engine
from evaluator.containers.engines.spec import Limits, Workspace
from evaluator.containers.gpus import choose_gpus, find_gpus, lease
from evaluator.types import Failure, Status
from evaluator.volumes import MaskValidator
from evaluator.zoo import find_model
from evaluator.zoo.conformance.requests import (
    STRANGE,
    TARGET,
    huge,
    oriented,
    plain,
    tiny,
    without_prompt,
)
from evaluator.zoo.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from evaluator.containers import RequestOutcome
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Model
    from evaluator.containers.requests import StagedRequest
    from evaluator.zoo.prepare import PreparedModel

    Mask = NDArray[np.uint8] | Failure
    Say = Callable[[str], None]

#: of the 48 orientations the batch is asked every seventh: all orders of axes; a session is asked all of them
BATCH_STEP = 7
#: a target without a prompt must be answered within this, or within the time of one that has a prompt
AT_ONCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check, and what was measured by the way."""

    check: str
    ok: bool
    detail: str
    measured: dict[str, float] = field(default_factory=dict)


def check_model(
    name: str,
    engine_name: str = "auto",
    *,
    weights: str = "published",
    large: bool = True,
) -> tuple[PreparedModel, Iterator[Result]]:
    """A model of the zoo made ready, and its checks, done as they are taken. Raises UserError for what the user can mend."""
    engine = open_engine(engine_name)
    zoo_model = find_model(name)
    gpus = choose_gpus(find_gpus(), None, zoo_model.card)
    ready = prepare(zoo_model, engine, weights=weights)
    return ready, _checks(engine, ready.model, gpus[0].uuid if gpus else None, large=large)


def _checks(engine: Engine, model: Model, gpu: str | None, *, large: bool) -> Iterator[Result]:
    (paths.cache() / "work").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=paths.cache() / "work"))
    run_id, log = f"check-{folder.name}", folder / "model.log"
    workspace = Workspace(input=folder / "input", output=folder / "output")
    try:
        card, folder_in = model.card, workspace.input
        turned_requests = oriented(folder_in, card)
        asked = [staged(request, workspace) for request in plain(folder_in, card)]
        turned = [staged(request, workspace) for request in turned_requests]
        small = [staged(request, workspace) for request in tiny(folder_in, card)]
        strange = staged(without_prompt(folder_in, turned_requests[0]), workspace)
        biggest = staged(huge(folder_in, card), workspace) if large else None
        workspace.output.mkdir()
        for path in (folder, *workspace.input.rglob("*")):
            path.chmod(0o755)
        limits = Limits(timeout=model.card.timeout, memory=model.card.memory, shm=model.card.shm)
        with MaskValidator() as gate, lease(gpu, run_id) if gpu else nullcontext():
            has_session = model.card.session and engine.sessions
            some = [*asked, *(turned[::BATCH_STEP] if has_session else turned)]
            batch = _masks(
                gate,
                answer_batch(
                    engine, model, workspace, some, limits, run_id=run_id, log=log, gpu=gpu
                ),
            )
            yield _summary(
                "batch: contract on every modality, order of axes and oblique grid", batch
            )
            if not has_session:
                return
            with ModelSession(
                engine, model, workspace, limits, run_id=run_id, log=log, gpu=gpu
            ) as talk:
                yield from _in_a_session(talk, gate, batch, asked, turned)
                yield _tiny(gate, talk, small)
                yield _unknown_target(talk, turned[0], strange)
                if biggest:
                    yield _huge(gate, talk, biggest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_a_session(
    talk: ModelSession,
    gate: MaskValidator,
    batch: dict[str, Mask],
    asked: list[StagedRequest],
    turned: list[StagedRequest],
) -> Iterator[Result]:
    # the batch's first and in its order, so that a model that keeps state shows it below and not here
    ordered = sorted([*asked, *turned], key=lambda request: (request.id not in batch, request.id))
    answers = [talk.ask(request) for request in ordered]
    session = _masks(gate, answers)
    spent = {
        "load_seconds": answers[0].load_seconds or 0.0,
        # a model may remember what looks the same to it, so the usual question is not the new one
        "slowest_seconds": max(answer.seconds for answer in answers[1:]),
    }
    yield _summary(
        "session: contract on all of these and all 48 orientations",
        session,
        {name: round(value, 3) for name, value in spent.items()},
    )
    yield _equal("session equals batch", batch, session)
    again = _masks(gate, (talk.ask(request) for request in reversed(asked)))
    yield _equal(
        "the same question gets the same answer, whatever was asked before",
        {name: session[name] for name in again},
        again,
    )
    yield _agreement(session, turned)


def _masks(gate: MaskValidator, answers: Iterable[RequestOutcome]) -> dict[str, Mask]:
    return {answer.request.id: _mask(gate, answer) for answer in answers}


def _mask(gate: MaskValidator, answer: RequestOutcome, target: str = TARGET) -> Mask:
    said = answer.reply.targets.get(target) if answer.reply else None
    if answer.failure or answer.output is None:
        return answer.failure or Failure(status=Status.MISSING)
    if said and said.status != "ok":
        return Failure(status=Status(said.status), detail=f"{said.kind}: {said.message}")
    made = NativeContract().read_mask(answer.request, target, answer.output, gate)
    return made if isinstance(made, Failure) else made.to_array()


def _summary(
    check: str, masks: dict[str, Mask], measured: dict[str, float] | None = None
) -> Result:
    failed = {
        name: mask
        for name, mask in masks.items()
        if isinstance(mask, Failure) and mask.status != Status.UNSUPPORTED
    }
    refused = sum(isinstance(mask, Failure) for mask in masks.values()) - len(failed)
    told = "; ".join(
        f"{name}: {failure.status} {failure.detail}"[:300] for name, failure in failed.items()
    )
    ok = not failed and refused < len(masks)
    detail = told or f"{len(masks) - refused} masks, {refused} refused as unsupported"
    return Result(check=check, ok=ok, detail=detail, measured=measured or {})


def _equal(check: str, a: dict[str, Mask], b: dict[str, Mask]) -> Result:
    differing = [name for name in a if not _same(a[name], b.get(name))]
    detail = f"differ: {', '.join(differing)}" if differing else f"{len(a)} equal"
    return Result(check=check, ok=not differing, detail=detail)


def _same(a: Mask, b: Mask | None) -> bool:
    if isinstance(a, Failure) or isinstance(b, Failure) or b is None:
        return isinstance(a, Failure) and isinstance(b, Failure) and a.status == b.status
    return np.array_equal(a, b)


def _agreement(masks: dict[str, Mask], turned: list[StagedRequest]) -> Result:
    """The same place was asked about in the same image, turned: how far the answers agree is told; that there are any is asked."""
    found = []
    for request in turned:
        mask = masks[request.id]
        if not isinstance(mask, Failure):
            # every mask with its axes towards Right, Anterior, Superior
            found.append(apply_orientation(mask > 0, io_orientation(np.array(request.grid.affine))))
    check = "answers across the 48 orientations, compared in the world"
    if len(found) < 2:
        return Result(check=check, ok=False, detail="fewer than two masks")
    if not any(mask.any() for mask in found):
        return Result(
            check=check, ok=False, detail="all masks are empty, which says nothing of orientations"
        )
    dice = [_dice(found[0], other) for other in found[1:]]
    measured = {
        "orientation_dice_lowest": round(min(dice), 4),
        "orientation_dice_median": round(median(dice), 4),
    }
    return Result(
        check=check, ok=True, detail=f"Dice {min(dice):.3f} to {max(dice):.3f}", measured=measured
    )


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def _tiny(gate: MaskValidator, talk: ModelSession, requests: list[StagedRequest]) -> Result:
    """Whatever is said of a volume of one voxel, it is said; a model may refuse, or tell an error."""
    ended = {}
    for request in requests:
        mask = _mask(gate, talk.ask(request))
        ended["x".join(map(str, request.grid.shape))] = (
            mask.status if isinstance(mask, Failure) else Status.OK
        )
    answered = {Status.OK, Status.UNSUPPORTED, Status.ERROR}
    told = ", ".join(f"{shape}: {status}" for shape, status in ended.items())
    return Result(
        check="volumes of one voxel, and one voxel thick, are answered",
        ok=set(ended.values()) <= answered,
        detail=told,
    )


def _unknown_target(talk: ModelSession, known: StagedRequest, request: StagedRequest) -> Result:
    check = "a target without a prompt is unsupported, at once, and costs no other target"
    usual, answer = talk.ask(known).seconds, talk.ask(request)
    if answer.failure or not answer.reply:
        detail = (
            f"{answer.failure.status}: {answer.failure.detail}"[:300]
            if answer.failure
            else "no reply"
        )
        return Result(check=check, ok=False, detail=detail)
    own, other = answer.reply.targets.get(STRANGE), answer.reply.targets.get(TARGET)
    ok = own is not None and own.status == "unsupported" and (other is None or other.status == "ok")
    quick = answer.seconds <= max(AT_ONCE_SECONDS, 3 * usual)
    said = f"{own.status if own else 'not answered'}; the other {other.status if other else 'not told'}"
    return Result(check=check, ok=ok and quick, detail=f"{said}; {answer.seconds:.2f} s")


def _huge(gate: MaskValidator, talk: ModelSession, request: StagedRequest) -> Result:
    answer = talk.ask(request)
    mask = _mask(gate, answer)
    shape = " x ".join(map(str, request.grid.shape))
    measured = {"huge_seconds": round(answer.seconds, 3)}
    if peak := talk.peak_memory():
        measured["peak_memory_gib"] = round(peak / 2**30, 2)
    if answer.reply and answer.reply.gpu_peak_bytes:
        measured["gpu_peak_gib"] = round(answer.reply.gpu_peak_bytes / 2**30, 2)
    failed = isinstance(mask, Failure) and mask.status != Status.UNSUPPORTED
    said = f"{mask.status}: {mask.detail}"[:300] if isinstance(mask, Failure) else "answered"
    return Result(
        check=f"a volume of {shape} within the card's memory and time",
        ok=not failed,
        detail=said,
        measured=measured,
    )
