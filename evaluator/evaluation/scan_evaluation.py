"""One scan under one protocol, from its prompts to its scores.

A ``ScanEvaluation`` is asked for its next request and is told the outcome, until there is no
further request. The record is written at the end and not before: a scan is done as a whole or done
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evaluator.containers import raise_if_disk_full, raise_if_removed
from evaluator.containers.contracts import contract_of
from evaluator.containers.requests import ModelRequest, RequestTarget
from evaluator.containers.safe_removal import discard
from evaluator.errors import VolumeError
from evaluator.evaluation.click_replay import clicks_sha256
from evaluator.evaluation.data_guard import require_same_files
from evaluator.evaluation.plan import rounds_of, takes_corrections, target_refusal
from evaluator.evaluation.record_writer import describe_end, record_not_run, write_scores
from evaluator.evaluation.run_context import require_unchanged
from evaluator.evaluation.scan_images import ScanImages
from evaluator.evaluation.scan_start import ScanStart, Turn, plan_turns
from evaluator.imaging.orthogonal_grids import placed_on
from evaluator.prompting.simulated_user import SimulatedUser
from evaluator.runs.records import AttemptRecord, RoundRecord, ScanRecord, TargetRecord
from evaluator.scoring.masks import score_masks
from evaluator.scoring.rows import rows_without_prompt, score_rows
from evaluator.types import Failure, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluator.containers import RequestOutcome
    from evaluator.containers.contracts import Contract
    from evaluator.containers.requests import StagedRequest
    from evaluator.evaluation.run_context import RunContext
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.prompting.simulated_user import RoundPrompts, TargetPrompts
    from evaluator.prompting.stop_reason import StopReason
    from evaluator.runs.records import ScoreRow

    Predictions = Mapping[str, GridMask | Failure]


@dataclass(slots=True)
class _Progress:
    """The results so far."""

    rounds: list[RoundRecord] = field(default_factory=list)
    stop_reasons: dict[int, dict[str, StopReason]] = field(default_factory=dict)
    rows: list[ScoreRow] = field(default_factory=list)


class ScanEvaluation:
    """Runs a model on one scan: ``next_request`` and ``receive`` in turn."""

    def __init__(self, context: RunContext, start: ScanStart) -> None:
        self._context, self._start = context, start
        self._contract: Contract = context.contract or contract_of(context.plan.card)
        self._results = _Progress()
        self._masks = context.run.masks.writer(start.case.id, start.modality)
        seeds, single = context.plan.protocol.seeds, self._contract.single_target
        self._turns = plan_turns(start.prompts, seeds, single_target=single)
        self._images = ScanImages(context, start.case, start.modality, start.inputs)
        self._user: SimulatedUser | None = None
        self._seed, self._part = 0, ""
        self._pending: tuple[RoundPrompts, StagedRequest] | None = None
        self._finished = False

    def next_request(self) -> StagedRequest | None:
        """The next request, staged; None when the scan is finished and its record written.

        Raises:
            HostError: the disk is full.
        """
        if self._finished or (self._images.grid is None and not self._begin()):
            return None
        while True:
            prompts = self._user.ask() if self._user else None
            if prompts is not None:
                request = self._stage(prompts)
                self._pending = (prompts, request)
                return request
            if self._user:
                reasons = self._results.stop_reasons.setdefault(self._seed, {})
                reasons.update(self._user.stop_reasons)
                self._user = None
            if not self._turns:
                self._finish()
                return None
            if not self._show(self._turns[0].seed):
                return None
            turn = self._turns.pop(0)
            self._seed, self._part = turn.seed, turn.part
            self._user = self._simulate_user(turn)

    def receive(self, outcome: RequestOutcome) -> None:
        """Take the outcome of the last request: validate, store and score its masks.

        Raises:
            HostError: the disk is full or the answer was removed, which is not the model's fault.
        """
        assert self._pending is not None
        assert self._user is not None
        prompts, request = self._pending
        self._pending = None
        masks = {name: self._on_image(self._read_mask(outcome, name)) for name in prompts.targets}
        for mask in masks.values():
            if isinstance(mask, Failure) and mask.status != Status.UNSUPPORTED:
                raise_if_disk_full(self._context.workspace)
                raise_if_removed(outcome)
                break
        targets = {name: self._store(prompts, name, mask) for name, mask in masks.items()}
        added = {name: target.added for name, target in prompts.targets.items() if target.added}
        entry = RoundRecord(
            seed=self._seed,
            round=prompts.round,
            targets=targets,
            request=request.id,
            seconds=outcome.seconds,
            load_seconds=outcome.load_seconds,
            reply=outcome.reply,
            grid=self._images.other_grid,
            added=added,
            attempts=tuple(
                AttemptRecord(status=attempt.status, detail=attempt.detail)
                for attempt in outcome.attempts
            ),
        )
        if outcome.output:
            discard(self._contract.answer_path(request, outcome.output))
        for file in request.files:
            file.unlink(missing_ok=True)
        self._score(entry, masks)
        self._user.tell(masks)

    def _begin(self) -> bool:
        """Show the first seed's images; False if the data allow no fair prompt."""
        if not self._show(self._turns[0].seed):
            return False
        start, protocol = self._start, self._context.plan.protocol
        scan = start.case.scans[start.modality]
        self._results.rows += rows_without_prompt(protocol, scan, start.prompts.missing)
        return True

    def _show(self, seed: int) -> bool:
        """Stage the images of a seed; False if the data allow no fair prompt."""
        try:
            self._images.show(seed)
        except VolumeError as error:
            start = self._start
            record_not_run(self._context, start.case, start.modality, str(error))
            self._finished = True
            return False
        return True

    def _simulate_user(self, turn: Turn) -> SimulatedUser:
        """The user of one seed; targets that the model does not know are recorded as refused."""
        seed, plan = turn.seed, self._context.plan
        recorded = self._start.prompts.prompts[seed]
        prompts = {name: recorded[name] for name in turn.targets}
        refused = {
            name: why for name in prompts if (why := target_refusal(plan.card, name)) is not None
        }
        if refused:
            targets = {name: TargetRecord.failed(why) for name, why in refused.items()}
            self._score(RoundRecord(seed=seed, round=0, targets=targets), refused)
        rounds, replayed = rounds_of(plan), None
        if self._start.replayed is None or not takes_corrections(plan):
            rounds = replace(rounds, clicks="own")
        else:
            replayed = self._start.replayed.get(seed, {})
        return SimulatedUser(
            rounds,
            {name: prompt for name, prompt in prompts.items() if name not in refused},
            self._images.references.masks,
            seed=seed,
            subject=self._start.case.id,
            recorded=replayed,
        )

    def _stage(self, prompts: RoundPrompts) -> StagedRequest:
        request = ModelRequest(
            id=f"r{self._start.number:05d}s{self._seed:02d}{self._part}k{prompts.round:02d}",
            round=prompts.round,
            targets=tuple(self._request_target(target) for target in prompts.targets.values()),
            options=self._context.plan.options,
        )
        return self._contract.stage_request(request, self._images.staged, self._context.workspace)

    def _request_target(self, target: TargetPrompts) -> RequestTarget:
        plan, prompt = self._context.plan, target.prompt
        text = prompt.text
        if text:
            text = plan.texts.get(prompt.text_of or prompt.target, text)
        return RequestTarget(
            name=prompt.target,
            text=text,
            points=prompt.points,
            box=prompt.box,
            box_mm=prompt.box_mm,
            scribble=self._as_staged(target.scribble),
            previous=self._as_staged(target.previous) if "mask" in plan.card.prompts else None,
        )

    def _as_staged(self, mask: GridMask | None) -> GridMask | None:
        return placed_on(mask, self._images.staged.grid) if mask is not None else None

    def _on_image(self, mask: GridMask | Failure) -> GridMask | Failure:
        if isinstance(mask, Failure):
            return mask
        return placed_on(mask, self._images.shown_grid)

    def _read_mask(self, outcome: RequestOutcome, target: str) -> GridMask | Failure:
        """The mask of one target, if it can be trusted."""
        if outcome.failure:
            return outcome.failure
        reported = outcome.reply.targets.get(target) if outcome.reply else None
        if reported and reported.status == "unsupported":
            return Failure(status=Status.UNSUPPORTED, detail=reported.message or "")
        if reported and reported.status == "error":
            memory = reported.kind == "out-of-memory"
            detail = f"{reported.kind or 'error'}: {reported.message or ''}"[:2000]
            return Failure(status=Status.OUT_OF_MEMORY if memory else Status.ERROR, detail=detail)
        if outcome.output is None:
            return Failure(status=Status.MISSING, detail="the model wrote no answer")
        return self._contract.read_mask(
            outcome.request, target, outcome.output, self._context.validator
        )

    def _store(self, prompts: RoundPrompts, name: str, mask: GridMask | Failure) -> TargetRecord:
        """Take a mask for the run folder."""
        interactions = prompts.targets[name].clicks
        if isinstance(mask, Failure):
            return TargetRecord.failed(mask, interactions)
        file = self._masks.add(mask, seed=self._seed, round_number=prompts.round, target=name)
        return TargetRecord(status=Status.OK, mask=file, interactions=interactions)

    def _score(self, entry: RoundRecord, masks: Predictions) -> None:
        self._results.rounds.append(entry)
        scores = score_masks(self._images.references, masks, self._context.plan.protocol)
        self._results.rows += score_rows(entry.seed, entry.round, scores)

    def _finish(self) -> None:
        """Write the record and the scores; remove the images.

        Raises:
            HostError: a file of the scan was changed since its hash was taken.
        """
        require_unchanged(self._start.case, self._start.modality, self._start.files)
        start, context, results = self._start, self._context, self._results
        require_same_files(start.case, start.input_files)
        self._images.remove()
        record = ScanRecord(
            case=start.case.id,
            subject=start.case.subject,
            session=start.case.session,
            modality=start.modality,
            key=start.key,
            state="done",
            files=start.files,
            grid=self._images.grid,
            missing_prompts=start.prompts.missing,
            rounds=tuple(results.rounds),
            stop_reasons=results.stop_reasons,
        )
        self._masks.write()
        context.run.write_record(replace(record, clicks_sha256=clicks_sha256(record)))
        self._masks.remove_earlier()
        write_scores(context.run, start.case, start.modality, start.key, results.rows)
        self._finished = True
        context.progress(start.case.id, start.modality, describe_end(results.rounds))
