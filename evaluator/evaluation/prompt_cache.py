"""Round 0's prompts of a case: drawn once from all its references, kept in the run, replayed from there or another run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evaluator.datasets.references import load_references
from evaluator.errors import RunConflictError, UserError, VolumeError
from evaluator.evaluation.click_replay import point_of, recorded_clicks
from evaluator.files import Json, fingerprint, read_json, write_json
from evaluator.manifests.organs import load_organs
from evaluator.prompting.initial_prompts import NoPrompt, simulate_prompts
from evaluator.types import TargetPrompt
from zoo_sdk.wire import Box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluator.evaluation.plan import Plan
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, Modality, PromptKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPrompts:
    """What one scan is asked with in round 0, for each seed; and why some targets are not asked for."""

    given: Mapping[int, Mapping[str, TargetPrompt]]
    absent: Mapping[int, Mapping[str, str]]

    def as_json(self) -> Json:
        """Plain values, for keys and records."""
        return {
            "given": {
                str(seed): {target: asdict(prompt) for target, prompt in prompts.items()}
                for seed, prompts in self.given.items()
            },
            "absent": self.absent_as_json(),
        }

    def absent_as_json(self) -> dict[str, dict[str, str]]:
        """Why targets are not asked for, by seed."""
        return {str(seed): dict(reasons) for seed, reasons in self.absent.items()}


def case_prompts(
    plan: Plan,
    run: RunStore,
    case: Case,
    usable: Mapping[Modality, Mapping[str, str]],
    replay: RunStore | None,
) -> dict[Modality, ScanPrompts]:
    """The prompts of every usable scan of the case; read from the run where they were drawn of the same files.

    ``usable``: modality -> sha256 of the scan's files by role. ``replay``: take them from this run instead of drawing.
    """
    assert plan.kind is not None
    source = fingerprint(
        {"references": usable, "protocol": plan.protocol.sha256, "kind": plan.kind}
    )
    path = run.prompts_path(case.id)
    if path.exists() and (kept := _read_whole(path))["source"] == source:
        return _parse(kept["prompts"])
    prompts = (
        _replayed(replay, case, source) if replay else _drawn(plan, case, list(usable), plan.kind)
    )
    write_json(
        path,
        {"case": case.id, "source": source, "sha256": fingerprint(prompts), "prompts": prompts},
    )
    return _parse(prompts)


def replay_hash(run: RunStore) -> str:
    """One hash over all prompts and clicks that a run recorded. Raises UserError for a file that was changed since."""
    drawn = [_read_whole(path)["sha256"] for path in sorted((run.path / "prompts").glob("*.json"))]
    clicks = [fingerprint(recorded_clicks(run, record)) for record in run.records()]
    return fingerprint({"drawn": drawn, "clicks": clicks})


def _drawn(plan: Plan, case: Case, modalities: list[Modality], kind: PromptKind) -> Json:
    masks: dict[Modality, Mapping[str, GridMask]] = {}
    for modality in modalities:
        with suppress(VolumeError):  # its own scan is not run, and says why
            masks[modality] = load_references(case.scans[modality]).masks
    organs = load_organs()
    prompts: Json = {modality: {} for modality in modalities}
    present = [name for own in masks.values() for name, mask in own.items() if not mask.empty]
    named = dict.fromkeys(present) if len(set(present)) > 1 else organs.names()
    for target in dict.fromkeys(name for own in masks.values() for name in own):
        there = {modality: own[target] for modality, own in masks.items() if target in own}
        for seed in plan.protocol.seeds:
            made = simulate_prompts(
                there,
                target=target,
                kind=kind,
                plan=plan.protocol.prompts_of(seed),
                seed=seed,
                subject=f"{plan.dataset.name}/{case.id}",
                texts={name: organs.texts(name)[0] for name in (target, *named)},
            )
            for modality, prompt in made.items():
                prompts[modality].setdefault(str(seed), {})[target] = _dump(prompt)
    return prompts


def _replayed(replay: RunStore, case: Case, source: str) -> Json:
    path = replay.prompts_path(case.id)
    kept = _read_whole(path) if path.exists() else {}
    if kept.get("source") != source:
        raise RunConflictError(
            f"run {replay.name} has no prompts of {case.id} for these references, this protocol and this kind of prompt; "
            "finish that run first, or leave --prompts out"
        )
    return dict(kept["prompts"])


def _read_whole(path: Path) -> Json:
    """A prompts file; raises UserError where it does not hold what it was written with."""
    kept = read_json(path)
    if kept.get("sha256") != fingerprint(kept.get("prompts")):
        raise UserError(
            f"{path} was changed since it was made (sha256 differs); make the run again under another --name"
        )
    return kept


def _dump(prompt: TargetPrompt | NoPrompt) -> Json:
    return {"absent": prompt.reason} if isinstance(prompt, NoPrompt) else asdict(prompt)


def _parse(prompts: Json) -> dict[Modality, ScanPrompts]:
    modalities: Any = prompts
    return {
        modality: ScanPrompts(
            given={
                int(seed): {
                    name: _prompt(body) for name, body in own.items() if "absent" not in body
                }
                for seed, own in seeds.items()
            },
            absent={
                int(seed): {name: body["absent"] for name, body in own.items() if "absent" in body}
                for seed, own in seeds.items()
            },
        )
        for modality, seeds in modalities.items()
    }


def _prompt(body: Json) -> TargetPrompt:
    box = body["box"]
    return TargetPrompt(
        target=body["target"],
        points=tuple(point_of(point) for point in body["points"]),
        box=Box(low=tuple(box["low"]), high=tuple(box["high"])) if box else None,
        text=body["text"],
        text_of=body.get("text_of"),
        displacement_mm=body["displacement_mm"],
        anchor=body["anchor"],
    )
