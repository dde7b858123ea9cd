"""Checks of an image of another convention: what it is, how it is asked, and where it fails.

Each check is one step of a request, in order, so the first that fails is the reason. A synthetic
ball is shown on two grids, one of them oblique and flipped.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator import paths
from evaluator.containers import StartHistory, answer_batch, is_server, session_of
from evaluator.containers.contracts import API_LABEL, contract_of
from evaluator.containers.gpus import lease
from evaluator.containers.model_limits import choose_limits
from evaluator.containers.requests import InputImage, ModelRequest, RequestTarget, ScanInput
from evaluator.containers.workspace import claim_workspace, workspace_of
from evaluator.errors import VolumeError
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.case_lists import UNITS
from evaluator.types import Failure
from evaluator.volumes import MaskValidator, write_volume
from evaluator.zoo.conformance.results import MAX_DETAIL, Result
from zoo_sdk.wire import Box, Point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evaluator.containers import RequestOutcome
    from evaluator.containers.contracts import Contract
    from evaluator.containers.engines import Engine
    from evaluator.containers.engines.spec import Limits, Workspace
    from evaluator.containers.requests import StagedRequest
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.types import Modality, ModelCard
    from evaluator.zoo.image_store import ImageDescription
    from evaluator.zoo.prepare import PreparedModel
    from zoo_sdk.wire import Grid

#: values of the ball and of what surrounds it
VALUES = {"CT": (60, -60), "MR": (400, 150), "PT": (8, 1)}
SHAPE = (48, 40, 32)
RADIUS_MM = 14.0
GRIDS = {
    "an axis-aligned grid": make_grid(
        SHAPE, [[-2, 0, 0, 48], [0, -2, 0, 40], [0, 0, 2.5, -40], [0, 0, 0, 1]]
    ),
    "an oblique, flipped grid": make_grid(
        SHAPE, [[1.92, 0, -0.7, -30], [0, -2, 0, 40], [0.56, 0, 2.4, -50], [0, 0, 0, 1]]
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckRequest:
    """A request of the checks."""

    title: str
    request: StagedRequest
    target: str


def foreign_checks(
    engine: Engine,
    prepared: PreparedModel,
    described: ImageDescription,
    *,
    gpu: str | None,
) -> Iterator[Result]:
    """Check an image step by step; a step that fails ends the checks.

    Args:
        engine: runs the image.
        prepared: the model.
        described: what its image declares about itself.
        gpu: UUID of the GPU; None: none.
    """
    card = prepared.model.card
    yield _image(described)
    contract = contract_of(card)
    yield _convention(card, described, contract)
    limits, capped = choose_limits(card, None, engine.capacity())
    detail = f"{limits.timeout:g} s for a request, {(limits.memory or 0) / 2**30:.1f} GiB of memory"
    yield Result(check="limits", ok=True, detail="; ".join([detail, *capped]))
    (paths.cache() / "work").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=paths.cache() / "work")))
        claim_workspace(folder)
        workspace = stack.enter_context(workspace_of(str(folder)))
        validator = stack.enter_context(MaskValidator())
        stack.enter_context(lease(gpu, folder.name) if gpu else nullcontext())
        try:
            staged = list(_stage_all(card, contract, workspace, folder))
        except VolumeError as error:
            yield Result(check="the input can be written", ok=False, detail=str(error))
            return
        detail = f"{len(staged[0].request.files)} files a request"
        yield Result(check="the input can be written", ok=True, detail=detail)
        ask = _asker(engine, prepared, workspace, limits, folder, gpu, stack)
        yield from _answers(ask, staged, contract, validator)


def _image(described: ImageDescription) -> Result:
    """What the image is, with remarks on what challenges would refuse."""
    remarks = []
    user = described.user.split(":")[0]
    if user in ("", "0", "root"):
        remarks.append("runs as root, which Grand Challenge refuses")
    if described.architecture not in ("", "amd64"):
        remarks.append("is not for amd64, which challenges run")
    words = [
        f"{described.digest[:19]}",
        f"{described.size / 2**30:.2f} GiB",
        described.architecture or "processor not named",
        f"user {described.user or 'root'}",
        f"entrypoint {' '.join(described.entrypoint) or '(none)'}",
        f"command {' '.join(described.command) or '(none)'}",
        *remarks,
    ]
    return Result(check="image", ok=True, detail="; ".join(words)[: 2 * MAX_DETAIL])


def _convention(card: ModelCard, described: ImageDescription, contract: Contract) -> Result:
    """Which contract is used, and what names it."""
    labels = described.labels
    if labels.get("umd.contract") == card.contract:
        origin = "named by the image's label umd.contract"
    elif card.contract == "grand-challenge" and API_LABEL in labels:
        origin = f"named by the image's label {API_LABEL}={labels[API_LABEL]}"
    else:
        origin = "named when the model was added"
    ways = {
        "invoke": "a server on port 4743, started once",
        "batch": "one container for each request",
        "serve": "a session",
    }
    way = ways[contract.modes[0]]
    if contract.batch_size is None and not is_server(card):
        way = "one container for all requests of a round"
    command = contract.command(contract.modes[0])
    appended = f"; arguments {' '.join(command)}" if command else ""
    inputs = " | ".join(map("+".join, card.inputs))
    prompts = ", ".join(card.prompts) or "none"
    detail = f"{card.contract}, {origin}: {way}{appended}; inputs {inputs}; prompts {prompts}"
    return Result(check="contract", ok=True, detail=detail)


def _stage_all(
    card: ModelCard, contract: Contract, workspace: Workspace, folder: Path
) -> Iterator[_CheckRequest]:
    """A request on each grid for each alternative of the inputs."""
    number = 0
    for names in card.inputs:
        for title, grid in GRIDS.items():
            scan = contract.stage_scan(_scan(names, grid, folder, number), workspace)
            target = (card.targets or ("liver",))[0]
            request = ModelRequest(
                id=f"r{number:05d}s00k00", round=0, targets=(_prompts(card, target, grid),)
            )
            staged = contract.stage_request(request, scan, workspace)
            yield _CheckRequest(
                title=f"{'+'.join(names)} on {title}", request=staged, target=target
            )
            number += 1


def _scan(names: Sequence[Modality], grid: Grid, folder: Path, number: int) -> ScanInput:
    inside = _ball(grid)
    generator = np.random.default_rng(number)
    images = {}
    for name in names:
        high, low = VALUES[name]
        noise = generator.normal(0, (high - low) / 20, grid.shape)
        path = folder / f"{number}-{name}.nii.gz"
        write_volume(path, (np.where(inside, high, low) + noise).astype(np.float32), grid)
        images[name] = InputImage(source=path, unit=UNITS[name], name=f"{number}{name.lower()}")
    return ScanInput(pseudonym=f"check{number}", images=images)


def _ball(grid: Grid) -> np.ndarray:
    affine = np.array(grid.affine)
    voxels = np.indices(grid.shape).reshape(3, -1).T
    places = (voxels - _centre(grid)) @ affine[:3, :3].T
    inside: np.ndarray = (places**2).sum(axis=1) <= RADIUS_MM**2
    return inside.reshape(grid.shape)


def _centre(grid: Grid) -> np.ndarray:
    return np.array([size // 2 for size in grid.shape])


def _prompts(card: ModelCard, target: str, grid: Grid) -> RequestTarget:
    """Every kind of prompt that the model takes."""
    i, j, k = _centre(grid).tolist()
    x, y, z = (np.array(grid.affine) @ [i, j, k, 1])[:3].tolist()
    reach = [int(RADIUS_MM / 2.0), int(RADIUS_MM / 2.0), int(RADIUS_MM / 2.5)]
    low = (i - reach[0], j - reach[1], k - reach[2])
    high = (i + reach[0] + 1, j + reach[1] + 1, k + reach[2] + 1)
    return RequestTarget(
        name=target,
        text=target if "text" in card.prompts else None,
        points=(Point(index=(i, j, k), ras_mm=(x, y, z)),) if "point" in card.prompts else (),
        box=Box(low=low, high=high) if "box" in card.prompts else None,
    )


def _asker(
    engine: Engine,
    prepared: PreparedModel,
    workspace: Workspace,
    limits: Limits,
    folder: Path,
    gpu: str | None,
    stack: ExitStack,
) -> Callable[[StagedRequest], RequestOutcome]:
    """Asks one request, in a session of a server or in a container of its own."""
    model, history = prepared.model, StartHistory()
    run_id, log = f"check-{folder.name}", folder / "model.log"
    if is_server(model.card):
        session = session_of(model.card)(
            engine, model, workspace, limits, run_id=run_id, gpu=gpu, log=log, history=history
        )
        return stack.enter_context(session).ask

    def ask(request: StagedRequest) -> RequestOutcome:
        (outcome,) = answer_batch(
            engine,
            model,
            workspace,
            [request],
            limits,
            run_id=run_id,
            gpu=gpu,
            log=log,
            history=history,
        )
        return outcome

    return ask


def _answers(
    ask: Callable[[StagedRequest], RequestOutcome],
    requests: Sequence[_CheckRequest],
    contract: Contract,
    validator: MaskValidator,
) -> Iterator[Result]:
    first: Mapping[str, GridMask] = {}
    for entry in requests:
        outcome = ask(entry.request)
        answer = _read(outcome, entry, contract, validator)
        measured = {"seconds": round(outcome.seconds, 3)}
        if outcome.load_seconds:
            measured["load_seconds"] = round(outcome.load_seconds, 3)
        if isinstance(answer, Failure):
            detail = f"{answer.status}: {answer.detail}"[: 2 * MAX_DETAIL]
            yield Result(check=entry.title, ok=False, detail=detail, measured=measured)
            return
        detail = f"a mask of {answer.voxel_count} voxels of {entry.target}"
        yield Result(check=entry.title, ok=True, detail=detail, measured=measured)
        first = first or {entry.title: answer}
    again = replace(requests[0], title="the first request again")
    answer = _read(ask(again.request), again, contract, validator)
    before = first[requests[0].title]
    same = not isinstance(answer, Failure) and np.array_equal(answer.to_array(), before.to_array())
    detail = "an equal mask" if same else "another answer: the model is random, or keeps state"
    yield Result(check=again.title, ok=same, detail=detail)


def _read(
    outcome: RequestOutcome, entry: _CheckRequest, contract: Contract, validator: MaskValidator
) -> GridMask | Failure:
    if outcome.failure is not None:
        return outcome.failure
    assert outcome.output is not None
    return contract.read_mask(entry.request, entry.target, outcome.output, validator)
