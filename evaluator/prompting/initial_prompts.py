"""Round 0's prompts, simulated once per (subject, target, seed) and placed on every image's grid.

A prompt is simulated in world millimetres on the anchor: the first modality of ``plan.anchor``
whose reference of the target has a voxel. All images of a subject get the same physical prompt, so
a difference between them is the model's. Files and clocks play no part: the same masks give the
same prompts in any order, at any thread count and on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from evaluator.imaging.grid_masks import GridMask
from evaluator.imaging.registration import box_displacement_mm
from evaluator.prompting.boxes import choose_box, put_box
from evaluator.prompting.points import choose_positions, put_point
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import TargetPrompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evaluator.types import Modality, ModelCard, PromptKind, PromptPlan
    from zoo_sdk.wire import Millimetres


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrompt:
    """Why a target got no prompt on a grid.

    ``empty-reference``: the target has no voxel on this grid, so no prompt can be simulated and the
    score is ``undefined``.
    ``no-anchor``: the target has voxels on this grid, but in none of the plan's anchor modalities.
    ``outside-grid``: the simulated box does not touch the grid although the reference does, because
    the images are not aligned; or a point must lie outside the reference, which fills the grid.
    """

    target: str
    reason: Literal["empty-reference", "no-anchor", "outside-grid"]


def choose_kind(plan: PromptPlan, card: ModelCard) -> PromptKind | None:
    """The first kind of prompt of the plan that the model accepts.

    An automatic model (no prompts on its card) accepts only "class", the name of the target.

    Returns:
        None if the model accepts none: it is ``unsupported`` under this protocol.
    """
    accepted: tuple[PromptKind, ...] = card.prompts or ("class",)
    return next((kind for kind in plan.kinds if kind in accepted), None)


def simulate_prompts(
    masks: Mapping[Modality, GridMask],
    *,
    target: str,
    kind: PromptKind,
    plan: PromptPlan,
    seed: int,
    subject: str,
    texts: Mapping[str, str] = MappingProxyType({}),
    anchors: Mapping[Modality, GridMask] | None = None,
) -> dict[Modality, TargetPrompt | NoPrompt]:
    """Simulate one target's prompts and place them on every grid of a case.

    A point is placed into each grid's reference: where the voxel that holds the position lies
    outside it, the nearest voxel inside is taken, and ``displacement_mm`` is their distance (the
    largest of several points). A box stays where it is; its ``displacement_mm`` is how far the
    tight box of the grid's own reference lies from that of the anchor, 0 where rounding to voxels
    explains it.

    Args:
        masks: the target's reference on ALL images of the case, whichever of them a model gets,
            because the anchor is chosen among them.
        target: the target's name.
        kind: the result of ``choose_kind``.
        plan: the protocol's plan of round 0.
        seed: seed of the protocol; part of the key of every random choice.
        subject: id of the case; part of the key of every random choice.
        texts: the text of the target, and of the organs that a wrong text may name.
        anchors: the references that prompts are chosen on, where they lie on other grids than
            ``masks``; None: ``masks``.

    Returns:
        The prompt of each modality. A modality with an empty reference gets NoPrompt.
    """
    simulation = _Simulation(
        target,
        plan,
        RandomStream("prompt", seed, subject, target, kind),
        texts,
        masks if anchors is None else anchors,
    )
    present = {modality: mask for modality, mask in masks.items() if not mask.empty}
    prompts = PROMPTERS[kind](simulation, present)
    return {
        modality: prompts.get(modality) or NoPrompt(target=target, reason="empty-reference")
        for modality in masks
    }


@dataclass(frozen=True, slots=True)
class _Simulation:
    target: str
    plan: PromptPlan
    rng: RandomStream
    texts: Mapping[str, str]
    #: the references that prompts are chosen on
    anchors: Mapping[Modality, GridMask]

    def anchor(self) -> Modality | None:
        for modality in self.plan.anchor:
            if modality in self.anchors and not self.anchors[modality].empty:
                return modality
        return None


_Prompts = dict["Modality", "TargetPrompt | NoPrompt"]


def _point(simulation: _Simulation, masks: Mapping[Modality, GridMask]) -> _Prompts:
    target, plan = simulation.target, simulation.plan
    anchor = simulation.anchor()
    if anchor is None:
        return {modality: NoPrompt(target=target, reason="no-anchor") for modality in masks}
    positions = choose_positions(simulation.anchors[anchor], plan, simulation.rng)
    inside = not plan.point_outside_mm
    return {
        modality: _place_points(target, anchor, positions, mask, inside)
        for modality, mask in masks.items()
    }


def _place_points(
    target: str, anchor: Modality, positions: list[Millimetres], mask: GridMask, inside: bool
) -> TargetPrompt | NoPrompt:
    results = [put_point(mask, position, inside=inside) for position in positions]
    placed = [result for result in results if result is not None]
    if not placed:
        return NoPrompt(target=target, reason="outside-grid")
    return TargetPrompt(
        target=target,
        # two positions may fall into one voxel of a coarser grid
        points=tuple(dict.fromkeys(point for point, _ in placed)),
        displacement_mm=max(displacement for _, displacement in placed),
        anchor=anchor,
    )


def _box(simulation: _Simulation, masks: Mapping[Modality, GridMask]) -> _Prompts:
    target = simulation.target
    anchor = simulation.anchor()
    if anchor is None:
        return {modality: NoPrompt(target=target, reason="no-anchor") for modality in masks}
    world_box = choose_box(simulation.anchors[anchor], simulation.plan, simulation.rng)
    prompts: _Prompts = {}
    for modality, mask in masks.items():
        box = put_box(world_box, mask.grid)
        if box:
            prompts[modality] = TargetPrompt(
                target=target,
                box=box,
                box_mm=world_box.exact(),
                displacement_mm=box_displacement_mm(simulation.anchors[anchor], mask),
                anchor=anchor,
            )
        else:
            prompts[modality] = NoPrompt(target=target, reason="outside-grid")
    return prompts


def _text(simulation: _Simulation, masks: Mapping[Modality, GridMask]) -> _Prompts:
    target, texts = simulation.target, simulation.texts
    wrong_organs = sorted(name for name in texts if name != target)
    organ = target
    if simulation.plan.text_of == "other" and wrong_organs:
        organ = wrong_organs[simulation.rng.below(len(wrong_organs))]
    prompt = TargetPrompt(
        target=target,
        text=texts.get(organ) or organ.replace("-", " "),
        text_of=None if organ == target else organ,
    )
    return dict.fromkeys(masks, prompt)


def _class(simulation: _Simulation, masks: Mapping[Modality, GridMask]) -> _Prompts:
    return {modality: TargetPrompt(target=simulation.target) for modality in masks}


PROMPTERS: dict[PromptKind, Callable[[_Simulation, Mapping[Modality, GridMask]], _Prompts]] = {
    "point": _point,
    "box": _box,
    "text": _text,
    "class": _class,
}
"""The function that simulates each kind of prompt, on references that are not empty.

Scribbles and masks come from corrections only.
"""
