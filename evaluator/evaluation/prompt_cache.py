"""Round 0's prompts of a case: simulated once, stored in the run, or replayed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from evaluator.datasets.image_plans import planned_case
from evaluator.datasets.references import load_references
from evaluator.errors import RunConflictError, VolumeError
from evaluator.evaluation.click_replay import clicks_as_json, recorded_clicks
from evaluator.files import Json, fingerprint
from evaluator.manifests.organs import load_organs
from evaluator.prompting.initial_prompts import NoPrompt, simulate_prompts
from evaluator.runs.records import CasePrompts, plain_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evaluator.evaluation.plan import Plan
    from evaluator.imaging.grid_masks import GridMask
    from evaluator.runs.store import RunStore
    from evaluator.types import Case, ImagePlan, Modality, PromptKind, Protocol, TargetPrompt

    References = Mapping[Modality, Mapping[str, GridMask]]
    Simulated = dict[Modality, TargetPrompt | NoPrompt]


def case_prompts(
    plan: Plan,
    run: RunStore,
    case: Case,
    usable: Mapping[Modality, Mapping[str, str]],
    replay: RunStore | None,
) -> CasePrompts:
    """The prompts of every usable scan of a case.

    They are read from the run if it has them for the same files; else they are simulated, or
    replayed, and written into the run.

    Args:
        plan: of the run.
        run: the run.
        case: the case.
        usable: modality -> sha256 of the scan's files by role.
        replay: a run whose prompts are taken.

    Raises:
        RunConflictError: ``replay`` has no prompts of this case for these files.
        UserError: stored prompts were changed since they were written.
    """
    source = prompt_source(plan, usable)
    stored = run.prompts(case.id)
    if stored is not None and stored.source == source:
        return stored
    if replay is not None:
        prompts = _replayed(replay, case, source)
    else:
        assert plan.kind is not None
        bodies = _simulated(plan, case, list(usable), plan.kind)
        prompts = CasePrompts.of(case.id, source, bodies)
    run.write_prompts(prompts)
    return prompts


def prompt_source(plan: Plan, usable: Mapping[Modality, Mapping[str, str]]) -> str:
    """Identifies what prompts depend on: the files, the protocol and the kind of prompt."""
    plain = {modality: dict(hashes) for modality, hashes in usable.items()}
    source: Json = {"references": plain, "protocol": plan.protocol.sha256, "kind": plan.kind}
    if not plan.registered:
        source["registered"] = False
    if plan.kind == "box" and plan.card.box == "mm":
        source["box"] = "mm"
    return fingerprint(source)


def replay_hash(run: RunStore) -> str:
    """One hash over all prompts and clicks of a run; raises UserError if one was changed."""
    prompts = [case.sha256 for case in run.all_prompts()]
    clicks = []
    for record in run.records():
        clicks.append(fingerprint(clicks_as_json(recorded_clicks(run, record))))
    return fingerprint({"drawn": prompts, "clicks": clicks})


def _simulated(plan: Plan, case: Case, modalities: list[Modality], kind: PromptKind) -> Json:
    """Modality -> seed -> target -> prompt as plain JSON values."""
    own = _references(case, modalities)
    shown = {
        images: own if images.grid == "own" else _references(planned, modalities)
        for images, planned in _planned_cases(plan.protocol, case).items()
    }
    prompts: Json = {modality: {} for modality in modalities}
    texts = _texts(own)
    for target in _target_names(own):
        for seed in plan.protocol.seeds:
            simulate = partial(
                simulate_prompts,
                target=target,
                kind=kind,
                plan=plan.protocol.prompts_of(seed),
                seed=seed,
                subject=f"{plan.dataset.name}/{case.id}",
                texts={target: _text(target)} | texts,
            )
            masks = _of_target(shown[plan.protocol.images_of(seed)], target)
            anchors = _of_target(own, target)
            if plan.registered:
                simulated = simulate(masks, anchors=anchors)
            else:
                simulated = _each_alone(simulate, masks, anchors)
            for modality, prompt in simulated.items():
                body = _as_json(prompt, exact_box=plan.card.box == "mm")
                prompts[modality].setdefault(str(seed), {})[target] = body
    return prompts


def _references(case: Case, modalities: list[Modality]) -> References:
    references: dict[Modality, Mapping[str, GridMask]] = {}
    for modality in modalities:
        with suppress(VolumeError):  # that scan is not run, and its record says why
            references[modality] = load_references(case.scans[modality]).masks
    return references


def _planned_cases(protocol: Protocol, case: Case) -> dict[ImagePlan, Case]:
    """The case as each image plan of the protocol shows it."""
    planned: dict[ImagePlan, Case] = {}
    for seed in protocol.seeds:
        images = protocol.images_of(seed)
        if images not in planned:
            planned[images] = planned_case(case, protocol, seed)
    return planned


def _of_target(references: References, target: str) -> dict[Modality, GridMask]:
    return {name: of_scan[target] for name, of_scan in references.items() if target in of_scan}


def _each_alone(
    simulate: Callable[..., Simulated],
    masks: Mapping[Modality, GridMask],
    anchors: Mapping[Modality, GridMask],
) -> Simulated:
    """A prompt for each image, simulated on its own reference."""
    simulated: Simulated = {}
    for modality, mask in masks.items():
        simulated |= simulate({modality: mask}, anchors={modality: anchors[modality]})
    return simulated


def _target_names(references: References) -> list[str]:
    """All targets of the case, without repeats."""
    names: dict[str, None] = {}
    for masks in references.values():
        names |= dict.fromkeys(masks)
    return list(names)


def _texts(references: References) -> dict[str, str]:
    """Texts that may name an organ wrongly: of the case's organs, or of all if it has only one."""
    present: dict[str, None] = {}
    for masks in references.values():
        present |= dict.fromkeys(name for name, mask in masks.items() if not mask.empty)
    names = list(present) if len(present) > 1 else list(load_organs().names())
    return {name: _text(name) for name in names}


def _text(target: str) -> str:
    return load_organs().texts(target)[0]


def _replayed(replay: RunStore, case: Case, source: str) -> CasePrompts:
    stored = replay.prompts(case.id)
    if stored is None or stored.source != source:
        raise RunConflictError(
            f"run {replay.name} has no prompts of {case.id} for these references, this protocol "
            "and this kind of prompt; finish that run first, or leave --prompts out"
        )
    return stored


def _as_json(prompt: TargetPrompt | NoPrompt, *, exact_box: bool) -> Json:
    """A prompt; ``exact_box``: with the box in millimetres, which few models take."""
    if isinstance(prompt, NoPrompt):
        return {"absent": prompt.reason}
    return plain_prompt(prompt if exact_box else replace(prompt, box_mm=None))
