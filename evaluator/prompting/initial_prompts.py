"""Round 0's prompts: one draw for each (subject, target, seed) in world millimetres, put on every modality's grid.

The draw is made on the anchor: the first modality of ``plan.anchor`` whose reference of the target has a voxel. So the
images of a subject get the same physical prompt, and a difference between them is the model's. No files and no clock:
the same masks give the same prompts in any order, at any thread count and on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from evaluator.imaging.grid_masks import GridMask, crop_mask, empty_mask
from evaluator.imaging.target_masks import crop_targets
from evaluator.prompting.boxes import choose_box, put_box
from evaluator.prompting.points import choose_places, put_point
from evaluator.prompting.random_stream import RandomStream
from evaluator.types import TargetPrompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evaluator.types import Modality, ModelCard, PromptKind, PromptPlan
    from zoo_sdk.wire import Millimetres

__all__ = [
    "PROMPTERS",
    "GridMask",
    "NoPrompt",
    "RandomStream",
    "choose_kind",
    "crop_mask",
    "crop_targets",
    "draw",
    "empty_mask",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrompt:
    """Why a target got no prompt on a grid.

    ``empty-reference``: it has no voxel there, so that nothing can be asked or scored (score ``undefined``).
    ``no-anchor``: it has, but in none of the modalities in which the plan may draw.
    ``outside-grid``: the drawn box does not touch the grid, although the reference does: the images are not aligned; or
    the grid has no voxel outside the reference, where a point was to be put.
    """

    target: str
    reason: Literal["empty-reference", "no-anchor", "outside-grid"]


def choose_kind(plan: PromptPlan, card: ModelCard) -> PromptKind | None:
    """The first kind of the plan that the model understands; None: the model is ``unsupported`` under this protocol.

    An automatic model (no prompts on its card) understands "class", the target's name alone, and nothing else.
    """
    understood: tuple[PromptKind, ...] = card.prompts or ("class",)
    return next((kind for kind in plan.kinds if kind in understood), None)


def draw(
    masks: Mapping[Modality, GridMask],
    *,
    target: str,
    kind: PromptKind,
    plan: PromptPlan,
    seed: int,
    subject: str,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> dict[Modality, TargetPrompt | NoPrompt]:
    """One target's prompts on every grid of a case. ``kind`` is ``choose_kind``'s.

    ``texts``: the words for the target, and for the organs that a wrong text may name.

    ``masks`` must hold the target's reference on ALL images of the case, whichever of them a model is given, because
    the anchor is chosen among them. A point is put into each grid's own reference: where the voxel that the drawn place
    lies in is outside it, the nearest voxel inside is taken, and ``displacement_mm`` is how far that is (the largest of
    several points). An empty reference gets NoPrompt whatever the kind.
    """
    ask = _Ask(target, plan, RandomStream("prompt", seed, subject, target, kind), texts)
    present = {modality: mask for modality, mask in masks.items() if not mask.empty}
    made = PROMPTERS[kind](ask, present)
    return {
        modality: made.get(modality) or NoPrompt(target=target, reason="empty-reference")
        for modality in masks
    }


@dataclass(frozen=True, slots=True)
class _Ask:
    target: str
    plan: PromptPlan
    chance: RandomStream
    texts: Mapping[str, str]


_Drawn = dict["Modality", "TargetPrompt | NoPrompt"]


def _point(ask: _Ask, masks: Mapping[Modality, GridMask]) -> _Drawn:
    anchor = next((modality for modality in ask.plan.anchor if modality in masks), None)
    if anchor is None:
        return {modality: NoPrompt(target=ask.target, reason="no-anchor") for modality in masks}
    places = choose_places(masks[anchor], ask.plan, ask.chance)
    inside = not ask.plan.point_outside_mm
    return {
        modality: _put_points(ask.target, anchor, places, mask, inside)
        for modality, mask in masks.items()
    }


def _put_points(
    target: str, anchor: Modality, places: list[Millimetres], mask: GridMask, inside: bool
) -> TargetPrompt | NoPrompt:
    put = [
        found for place in places if (found := put_point(mask, place, inside=inside)) is not None
    ]
    if not put:
        return NoPrompt(target=target, reason="outside-grid")
    return TargetPrompt(
        target=target,
        # two places may fall into one voxel of a coarser grid
        points=tuple(dict.fromkeys(point for point, _ in put)),
        displacement_mm=max(displacement for _, displacement in put),
        anchor=anchor,
    )


def _box(ask: _Ask, masks: Mapping[Modality, GridMask]) -> _Drawn:
    anchor = next((modality for modality in ask.plan.anchor if modality in masks), None)
    if anchor is None:
        return {modality: NoPrompt(target=ask.target, reason="no-anchor") for modality in masks}
    chosen = choose_box(masks[anchor], ask.plan, ask.chance)
    boxes = {modality: put_box(chosen, mask.grid) for modality, mask in masks.items()}
    return {
        modality: TargetPrompt(target=ask.target, box=box, anchor=anchor)
        if box
        else NoPrompt(target=ask.target, reason="outside-grid")
        for modality, box in boxes.items()
    }


def _text(ask: _Ask, masks: Mapping[Modality, GridMask]) -> _Drawn:
    others = sorted(name for name in ask.texts if name != ask.target)
    named = (
        others[ask.chance.below(len(others))]
        if ask.plan.text_of == "other" and others
        else ask.target
    )
    text = ask.texts.get(named) or named.replace("-", " ")
    prompt = TargetPrompt(
        target=ask.target, text=text, text_of=None if named == ask.target else named
    )
    return dict.fromkeys(masks, prompt)


def _class(ask: _Ask, masks: Mapping[Modality, GridMask]) -> _Drawn:
    return {modality: TargetPrompt(target=ask.target) for modality in masks}


PROMPTERS: dict[PromptKind, Callable[[_Ask, Mapping[Modality, GridMask]], _Drawn]] = {
    "point": _point,
    "box": _box,
    "text": _text,
    "class": _class,
}
"""How each kind of prompt is made, on references that are not empty. Scribbles and masks come in corrections only."""
