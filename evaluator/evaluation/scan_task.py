"""One scan under one protocol, from its prompts to its scores: a conversation that yields requests, is sent answers.

The record is written when the conversation is over and not before: a scan is done as a whole or done again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from evaluator.containers import raise_if_disk_full
from evaluator.containers.safe_removal import discard
from evaluator.datasets.references import load_references
from evaluator.errors import VolumeError
from evaluator.evaluation.click_replay import clicks_of, clicks_to_replay, leading, points_of
from evaluator.evaluation.plan import inputs_for, refusal, scan_key, target_refusal
from evaluator.evaluation.prompt_cache import ScanPrompts, case_prompts
from evaluator.evaluation.record_writer import (
    RunContext,
    done_before,
    failed,
    heading,
    record_not_run,
    record_refusal,
    scan_files,
)
from evaluator.files import fingerprint, write_json
from evaluator.imaging.geometry import difference
from evaluator.prompting.simulated_user import SimulatedUser
from evaluator.scoring.applicability import needs_image
from evaluator.scoring.masks import score_masks
from evaluator.scoring.rows import rows_without_prompt, score_rows, write_scores
from evaluator.types import Failure, Status
from evaluator.volumes import stage_image, write_mask
from zoo_sdk.wire import ImageFile, Request, Target, dump_reply, dump_request

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from evaluator.containers import RequestOutcome
    from evaluator.datasets.references import LoadedReferences
    from evaluator.files import Json
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.simulated_user import RoundPrompts, StopReason, TargetPrompts
    from evaluator.types import Case, Modality, RoundPlan, TargetPrompt
    from zoo_sdk.wire import Grid

    Masks = Mapping[str, GridMask | Failure]


def talk_about_case(
    room: RunContext, case: Case, number: int
) -> Generator[Request, RequestOutcome, None]:
    """The scans of a case one after another, the one whose clicks the others replay first."""
    leader = leading(room.plan, case, scan_files(case)[1])
    for n, modality in enumerate(sorted(case.scans, key=lambda name: (name != leader, name))):
        yield from talk_about(room, case, modality, number + n)


def talk_about(
    room: RunContext, case: Case, modality: Modality, number: int
) -> Generator[Request, RequestOutcome, None]:
    """The conversation about one scan; ``number`` orders requests. Ends at once if it was done before."""
    plan, scan = room.plan, case.scans[modality]
    files, problems = scan_files(case)
    if modality in problems:
        record_not_run(room, case, modality, problems[modality])
        return
    if why := refusal(plan, case, modality):
        record_refusal(room, case, modality, files, why)
        return
    inputs = inputs_for(plan.card, case, modality) or (modality,)
    if lacking := [problems[name] for name in inputs if name in problems]:
        record_not_run(room, case, modality, lacking[0])
        return
    usable = {name: own for name, own in files.items() if name not in problems}
    with room.drawing:
        prompts = case_prompts(plan, room.run, case, usable, room.replay)[modality]
    recorded = clicks_to_replay(plan, room.run, room.replay, case, modality, problems)
    key = scan_key(
        plan,
        {role: value for name in inputs for role, value in files[name].items()},
        prompts.as_json() | recorded,
    )
    if done_before(room, case, modality, key):
        return
    opaque = fingerprint([room.salt, case.id, modality])[:12]
    try:
        references = load_references(scan, with_image=needs_image(plan.protocol.metrics))
        images, grid = _stage(room, case, inputs, opaque)
        if apart := difference(grid, references.grid):
            raise VolumeError(f"image and reference do not match: {apart}")
    except VolumeError as error:
        record_not_run(room, case, modality, str(error))
        return
    record: Json = heading(case, modality, key) | {
        "state": "done",
        "files": files[modality],
        "grid": {"shape": list(grid.shape), "affine": [list(row) for row in grid.affine]},
        "no_prompt": prompts.absent_as_json(),
        "rounds": [],
        "endings": {},
    }
    rows = rows_without_prompt(plan.protocol, scan, record["no_prompt"])
    desk = _Desk(room, case, modality, references, grid, images, opaque, number)
    for seed in plan.protocol.seeds:
        endings = yield from desk.ask_all(seed, prompts, recorded, record, rows)
        record["endings"][str(seed)] = {name: asdict(ending) for name, ending in endings.items()}
    for image in images.values():
        (room.workspace.input / image.path).unlink(missing_ok=True)
    record["clicks_sha256"] = fingerprint(clicks_of(record))
    write_json(room.run.record_path(case.id, modality), record)
    write_scores(room.run, case.id, modality, key, rows)
    room.progress(case.id, modality, "done")


@dataclass(frozen=True, slots=True)
class _Desk:
    """One scan that lies staged: turns asks into requests, and answers into masks, entries and scores."""

    room: RunContext
    case: Case
    modality: Modality
    references: LoadedReferences
    grid: Grid
    images: Mapping[str, ImageFile]
    opaque: str
    number: int

    def ask_all(
        self, seed: int, prompts: ScanPrompts, recorded: Json, record: Json, rows: list[Json]
    ) -> Generator[Request, RequestOutcome, dict[str, StopReason]]:
        """All rounds of one seed."""
        plan = self.room.plan
        refused = {
            name: why for name in prompts.given[seed] if (why := target_refusal(plan.card, name))
        }
        if refused:
            self._keep(
                seed,
                0,
                dict(refused),
                record,
                rows,
                {"targets": {name: failed(w) for name, w in refused.items()}},
            )
        first = {
            name: prompt for name, prompt in prompts.given[seed].items() if name not in refused
        }
        replayed = points_of(recorded, seed) if plan.protocol.rounds.clicks == "shared" else None
        user = SimulatedUser(
            _own_clicks(plan.protocol.rounds, replayed),
            first,
            self.references.masks,
            seed=seed,
            subject=self.case.id,
            recorded=replayed,
        )
        while (ask := user.ask()) is not None:
            masks = yield from self._ask(seed, ask, record, rows)
            user.tell(masks)
        return user.stop_reasons

    def _ask(
        self, seed: int, ask: RoundPrompts, record: Json, rows: list[Json]
    ) -> Generator[Request, RequestOutcome, Masks]:
        """One round: request, answer, gate, masks on disk, scores."""
        request, files = self._request(seed, ask)
        answer = yield request
        masks = {name: self._check(answer, name) for name in ask.targets}
        if any(
            isinstance(made, Failure) and made.status != Status.UNSUPPORTED
            for made in masks.values()
        ):
            raise_if_disk_full(self.room.workspace)
        entry: Json = {
            "request": request.id,
            "seconds": answer.seconds,
            "load_seconds": answer.load_seconds,
            "reply": dump_reply(answer.reply) if answer.reply else {},
            "targets": {
                name: self._save(seed, ask.round, name, made) | {"clicks": ask.targets[name].clicks}
                for name, made in masks.items()
            },
            "added": {
                name: [asdict(point) for point in asked.added]
                for name, asked in ask.targets.items()
                if asked.added
            },
        }
        if answer.folder:
            discard(answer.folder)
        for file in files:
            file.unlink(missing_ok=True)
        self._keep(seed, ask.round, masks, record, rows, entry)
        return masks

    def _keep(
        self, seed: int, number: int, masks: Masks, record: Json, rows: list[Json], entry: Json
    ) -> None:
        record["rounds"].append({"seed": seed, "round": number} | entry)
        rows += score_rows(
            seed, number, score_masks(self.references, masks, self.room.plan.protocol)
        )

    def _request(self, seed: int, ask: RoundPrompts) -> tuple[Request, list[Path]]:
        """Write the request's files where the container reads them; returns them to be removed afterwards."""
        name = f"r{self.number:05d}s{seed:02d}k{ask.round:02d}"
        files: list[Path] = []
        request = Request(
            id=name,
            case=self.opaque,
            round=ask.round,
            images=self.images,
            grid=self.grid,
            targets=tuple(
                self._target(name, n, asked, files) for n, asked in enumerate(ask.targets.values())
            ),
            options=self.room.plan.options,
        )
        path = self.room.workspace.input / "requests" / f"{name}.json"
        write_json(path, dump_request(request))
        path.chmod(0o644)
        return request, [*files, path]

    def _target(self, request: str, number: int, asked: TargetPrompts, files: list[Path]) -> Target:
        def put(kind: str, mask: GridMask | None) -> str | None:
            if mask is None:
                return None
            inside = f"masks/{request}-{number}-{kind}.nii.gz"
            path = self.room.workspace.input / inside
            write_mask(path, mask, self.grid, quick=True)
            path.chmod(0o644)
            files.append(path)
            return inside

        prompt: TargetPrompt = asked.prompt
        return Target(
            name=prompt.target,
            text=self._words(prompt),
            points=prompt.points,
            box=prompt.box,
            scribble=put("scribble", asked.scribble),
            previous=put(
                "previous", asked.previous if "mask" in self.room.plan.card.prompts else None
            ),
        )

    def _words(self, prompt: TargetPrompt) -> str | None:
        """The text as this model wants it said."""
        return prompt.text and self.room.plan.texts.get(
            prompt.text_of or prompt.target, prompt.text
        )

    def _check(self, answer: RequestOutcome, target: str) -> GridMask | Failure:
        """The mask that the answer holds for the target, if it can be believed."""
        if answer.failure:
            return answer.failure
        said = answer.reply.targets.get(target) if answer.reply else None
        if said and said.status == "unsupported":
            return Failure(status=Status.UNSUPPORTED, detail=said.message or "")
        if said and said.status == "error":
            kind = Status.OUT_OF_MEMORY if said.kind == "out-of-memory" else Status.ERROR
            return Failure(
                status=kind, detail=f"{said.kind or 'error'}: {said.message or ''}"[:2000]
            )
        if answer.folder is None:
            return Failure(status=Status.MISSING, detail="the model wrote no answer")
        limit = 2**20 + 2 * self.grid.shape[0] * self.grid.shape[1] * self.grid.shape[2]
        return self.room.gate.check(answer.folder / f"{target}.nii.gz", self.grid, limit)

    def _save(self, seed: int, number: int, target: str, made: GridMask | Failure) -> Json:
        if isinstance(made, Failure):
            return failed(made)
        path = self.room.run.mask_path(
            self.case.id, self.modality, seed=seed, round_number=number, target=target
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        sha256 = write_mask(path, made, self.grid)
        file = str(path.relative_to(self.room.run.path))
        return {
            "status": "ok",
            "mask": {"file": file, "sha256": sha256, "voxels": made.voxel_count},
        }


def _stage(
    room: RunContext, case: Case, inputs: tuple[Modality, ...], opaque: str
) -> tuple[dict[str, ImageFile], Grid]:
    """Scrubbed copies under meaningless names, and the answer's grid; raises VolumeError for one that cannot be given."""
    images: dict[str, ImageFile] = {}
    grids = []
    for name in inputs:
        inside = f"images/{fingerprint([room.salt, opaque, name])[:12]}.nii.gz"
        path = room.workspace.input / inside
        grids.append(stage_image(case.scans[name].image, path))
        path.chmod(0o644)
        images[name] = ImageFile(path=inside, unit=case.scans[name].unit)
    return images, grids[0]


def _own_clicks(plan: RoundPlan, replayed: object) -> RoundPlan:
    """The plan of a scan whose clicks are recorded for others: it corrects its own errors."""
    return replace(plan, clicks="own") if replayed is None else plan
