"""Conformance tests of a model: requests in batch and in a session, and checks of every reply.

The requests come from ``evaluator.zoo.conformance.requests``. Checks can fail; measurements
(seconds, memory, agreement across orientations) are only reported.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator import paths
from evaluator.containers import ModelSession, answer_batch
from evaluator.containers.contracts.native import NativeContract, staged
from evaluator.containers.engines import open_engine
from evaluator.containers.engines.spec import Limits, Workspace
from evaluator.containers.gpus import choose_gpus, find_gpus, lease, visible_devices
from evaluator.containers.workspace import claim_workspace
from evaluator.types import Failure, Status
from evaluator.volumes import MaskValidator
from evaluator.zoo import find_model
from evaluator.zoo.conformance.foreign import foreign_checks
from evaluator.zoo.conformance.requests import (
    UNKNOWN_TARGET,
    huge_request,
    oriented_requests,
    request_without_prompt,
    sdk_requests,
    tiny_requests,
)
from evaluator.zoo.conformance.results import MAX_DETAIL, Result, agreement, equality, summary
from evaluator.zoo.engine_images import image_store
from evaluator.zoo.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.containers import RequestOutcome
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Model
    from evaluator.containers.requests import StagedRequest
    from evaluator.types import ModelCard
    from evaluator.zoo.conformance.results import Mask
    from evaluator.zoo.prepare import PreparedModel
    from zoo_sdk.wire import Request, TargetReply

#: the batch gets every seventh of the 48 orientations, which covers all orders of axes; a session
#: gets all of them
BATCH_STEP = 7
#: a target without a prompt must be answered within this time, or within three times the time of
#: one with a prompt
REFUSAL_SECONDS = 2.0


def check_model(
    name: str,
    engine_name: str = "auto",
    *,
    weights: str = "published",
    large: bool = True,
) -> tuple[PreparedModel, Iterator[Result]]:
    """Prepare a model of the zoo, and its checks, which run as the iterator is consumed.

    Args:
        name: name of the model.
        engine_name: "auto", or one of ``evaluator.containers.engines.ENGINES``.
        weights: as for ``umd run --weights``.
        large: also test a volume larger than a whole-body scan.

    Raises:
        UserError: the model cannot be prepared; the message says what to do.
    """
    engine = open_engine(engine_name)
    zoo_model = find_model(name)
    gpus = choose_gpus(find_gpus(), None, zoo_model.card, visible=visible_devices())
    prepared = prepare(zoo_model, engine, weights=weights)
    gpu = gpus[0].uuid if gpus else None
    if prepared.model.card.contract != NativeContract.name:
        described = image_store(engine).describe(str(prepared.model.image))
        return prepared, foreign_checks(engine, prepared, described, gpu=gpu)
    return prepared, _checks(engine, prepared.model, gpu, large=large)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Requests:
    """All requests of the conformance tests."""

    basic: list[StagedRequest]
    oriented: list[StagedRequest]
    tiny: list[StagedRequest]
    without_prompt: StagedRequest
    huge: StagedRequest | None

    @classmethod
    def write(cls, workspace: Workspace, card: ModelCard, *, large: bool) -> _Requests:
        """Write the requests with their images into the workspace, readable by everyone."""
        folder = workspace.input

        def stage(requests: Iterable[Request]) -> list[StagedRequest]:
            return [staged(request, workspace) for request in requests]

        basic = stage(sdk_requests(folder, card))  # creates the folders
        oriented = oriented_requests(folder, card)
        requests = cls(
            basic=basic,
            oriented=stage(oriented),
            tiny=stage(tiny_requests(folder, card)),
            without_prompt=staged(request_without_prompt(folder, oriented[0]), workspace),
            huge=staged(huge_request(folder, card), workspace) if large else None,
        )
        for path in (folder.parent, *folder.rglob("*")):
            path.chmod(0o755)
        return requests


def _checks(engine: Engine, model: Model, gpu: str | None, *, large: bool) -> Iterator[Result]:
    (paths.cache() / "work").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=paths.cache() / "work"))
    run_id, log = f"check-{folder.name}", folder / "model.log"
    workspace = Workspace(input=folder / "input", output=folder / "output")
    claim_workspace(folder)
    try:
        requests = _Requests.write(workspace, model.card, large=large)
        workspace.output.mkdir()
        limits = Limits(timeout=model.card.timeout, memory=model.card.memory, shm=model.card.shm)
        with MaskValidator() as validator, lease(gpu, run_id) if gpu else nullcontext():
            has_session = model.card.session and engine.sessions
            oriented = requests.oriented[::BATCH_STEP] if has_session else requests.oriented
            in_batch = [*requests.basic, *oriented]
            answers = answer_batch(
                engine, model, workspace, in_batch, limits, run_id=run_id, log=log, gpu=gpu
            )
            batch = _masks(validator, answers)
            yield summary(
                "batch: contract on every modality, order of axes and oblique grid", batch
            )
            if not has_session:
                return
            with ModelSession(
                engine, model, workspace, limits, run_id=run_id, log=log, gpu=gpu
            ) as session:
                yield from _session_checks(session, validator, batch, requests)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _session_checks(
    session: ModelSession,
    validator: MaskValidator,
    batch: dict[str, Mask],
    requests: _Requests,
) -> Iterator[Result]:
    # those of the batch first and in its order, so a model that keeps state passes this check and
    # fails the one of repeated requests below
    ordered = sorted(
        [*requests.basic, *requests.oriented],
        key=lambda request: (request.id not in batch, request.id),
    )
    answers = [session.ask(request) for request in ordered]
    masks = _masks(validator, answers)
    seconds = {
        "load_seconds": answers[0].load_seconds or 0.0,
        # a model may cache an image that looks the same to it, so the typical time need not be the
        # time of a new image
        "slowest_seconds": max(answer.seconds for answer in answers[1:]),
    }
    yield summary(
        "session: contract on all of these and all 48 orientations",
        masks,
        {name: round(value, 3) for name, value in seconds.items()},
    )
    yield equality("session equals batch", batch, masks)
    repeated = _masks(validator, map(session.ask, reversed(requests.basic)))
    yield equality(
        "repeated requests get equal masks, whatever the order of requests",
        {name: masks[name] for name in repeated},
        repeated,
    )
    yield agreement(masks, requests.oriented)
    yield _tiny(validator, session, requests.tiny)
    yield _unknown_target(session, requests.oriented[0], requests.without_prompt)
    if requests.huge:
        yield _huge(validator, session, requests.huge)


def _masks(validator: MaskValidator, answers: Iterable[RequestOutcome]) -> dict[str, Mask]:
    return {answer.request.id: _mask(validator, answer) for answer in answers}


def _mask(validator: MaskValidator, answer: RequestOutcome) -> Mask:
    """The mask of the first target of a request."""
    target = answer.request.targets[0]
    reply = answer.reply.targets.get(target) if answer.reply else None
    if answer.failure or answer.output is None:
        return answer.failure or Failure(status=Status.MISSING)
    if reply and reply.status != "ok":
        return Failure(status=Status(reply.status), detail=f"{reply.kind}: {reply.message}")
    mask = NativeContract().read_mask(answer.request, target, answer.output, validator)
    return mask if isinstance(mask, Failure) else mask.to_array()


def _tiny(validator: MaskValidator, session: ModelSession, requests: list[StagedRequest]) -> Result:
    """A model must answer a volume of one voxel; it may refuse it or report an error."""
    statuses = {}
    for request in requests:
        mask = _mask(validator, session.ask(request))
        shape = "x".join(map(str, request.grid.shape))
        statuses[shape] = mask.status if isinstance(mask, Failure) else Status.OK
    allowed = {Status.OK, Status.UNSUPPORTED, Status.ERROR}
    return Result(
        check="volumes of one voxel, and one voxel thick, are answered",
        ok=set(statuses.values()) <= allowed,
        detail=", ".join(f"{shape}: {status}" for shape, status in statuses.items()),
    )


def _unknown_target(
    session: ModelSession, answerable: StagedRequest, request: StagedRequest
) -> Result:
    check = "a target without a prompt is refused as unsupported, quickly, and affects no other"
    usual_seconds, answer = session.ask(answerable).seconds, session.ask(request)
    if answer.failure or not answer.reply:
        detail = "no reply"
        if answer.failure:
            detail = f"{answer.failure.status}: {answer.failure.detail}"[:MAX_DETAIL]
        return Result(check=check, ok=False, detail=detail)
    names = (UNKNOWN_TARGET, request.targets[0])
    unknown, prompted = (answer.reply.targets.get(name) for name in names)
    is_refused = unknown is not None and unknown.status == "unsupported"
    prompted_ok = prompted is None or prompted.status == "ok"
    is_quick = answer.seconds <= max(REFUSAL_SECONDS, 3 * usual_seconds)
    detail = (
        f"{_describe_reply(unknown)}; prompted target: {_describe_reply(prompted)}; "
        f"{answer.seconds:.2f} s"
    )
    return Result(check=check, ok=is_refused and prompted_ok and is_quick, detail=detail)


def _describe_reply(reply: TargetReply | None) -> str:
    """A target's status with the model's message, such as the exception that it raised."""
    if reply is None:
        return "not answered"
    words = [reply.status, *([reply.kind] if reply.kind else [])]
    text = " ".join(words) + (f": {reply.message}" if reply.message else "")
    return text[:MAX_DETAIL]


def _huge(validator: MaskValidator, session: ModelSession, request: StagedRequest) -> Result:
    answer = session.ask(request)
    mask = _mask(validator, answer)
    shape = " x ".join(map(str, request.grid.shape))
    measured = {"huge_seconds": round(answer.seconds, 3)}
    if peak := session.peak_memory():
        measured["peak_memory_gib"] = round(peak / 2**30, 2)
    if answer.reply and answer.reply.gpu_peak_bytes:
        measured["gpu_peak_gib"] = round(answer.reply.gpu_peak_bytes / 2**30, 2)
    failed = isinstance(mask, Failure) and mask.status != Status.UNSUPPORTED
    detail = "answered"
    if isinstance(mask, Failure):
        detail = f"{mask.status}: {mask.detail}"[:MAX_DETAIL]
    return Result(
        check=f"a volume of {shape} within the memory and time of the card",
        ok=not failed,
        detail=detail,
        measured=measured,
    )
