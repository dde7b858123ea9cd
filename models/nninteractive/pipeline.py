"""nnInteractive's way from an image and prompts to masks, with the session given: pure functions of their arguments.

As upstream uses its session (MIC-DKFZ/nnInteractive at 154d9c6, readme.md): the image as it is, one
channel, not resampled and not windowed; prompt after prompt, each prediction the next one's
previous segmentation; the mask on the image's own voxels. A mask that is handed back is the initial
segmentation; the prompts of earlier rounds are then put back without a prediction, as upstream's
own file-in, file-out script does (cvpr2025_challenge_baseline/predict.py), which brings the session
to where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Protocol, Tuple, Union

import numpy as np

from zoo_sdk import (
    Box,
    Prediction,
    Request,
    Seconds,
    Target,
    Unsupported,
    Volume,
    each_target,
    read_mask,
)
from zoo_transforms.intensity import Undefined
from zoo_transforms.resampling import (
    VoxelGrid,
    canonical,
    put_back,
    reversed_axes,
    sample,
    voxel_grid_of,
    voxel_of,
)

OPTIONS = {
    "autozoom": ("on", "off"),
    "clicks": ("one-by-one", "together"),
    "box": ("middle-slice", "refused"),
    "scribble": ("two-voxels", "as-drawn"),
    "orientation": ("ras", "stored"),
}

Index = Tuple[int, int, int]


@dataclass(frozen=True)
class Click:
    """A voxel of the network's array."""

    index: Index
    foreground: bool


@dataclass(frozen=True)
class Slice:
    """A foreground box, half-open, one voxel thick along one axis: the published network knows no other."""

    low: Index
    high: Index


@dataclass(frozen=True)
class Scribble:
    """Drawn voxels: a mask of ``shape`` from voxel ``low``, packed by ``numpy.packbits``."""

    low: Index
    shape: Index
    bits: bytes
    foreground: bool

    @property
    def mask(self) -> Any:
        """uint8, 0 and 1."""
        count = int(np.prod(self.shape))
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count).reshape(self.shape)


Prompt = Union[Click, Slice, Scribble]
#: prompts that are given together before a prediction
Step = Tuple[Prompt, ...]


class Network(Protocol):
    """What the pipeline needs: upstream's session."""

    def segment(
        self,
        image: Volume,
        start: Any,
        given: Tuple[Prompt, ...],
        steps: Tuple[Step, ...],
        *,
        autozoom: bool,
    ) -> Any:
        """The mask after the last step, bool, of the image's shape.

        ``start``: an initial segmentation or None; ``given``: prompts that led to it; then a
        prediction for each step.
        """


def predict(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    read: Callable[[str, Any], Any] = read_mask,
) -> Prediction:
    """Answer a request about one image; ``options`` has a value for each of ``OPTIONS``, ``read`` reads a request's mask."""
    seconds, told = Seconds(), {}  # type: Seconds, Dict[str, Any]
    own = voxel_grid_of(request.grid)
    space = reversed_axes(canonical(own) if options["orientation"] == "ras" else own)
    with seconds.of("preprocess"):
        shown = Volume(sample(image.array, image.affine, space, nearest=True), space.affine)

    def segment(target: Target) -> Any:
        start = (
            None
            if target.previous is None
            else _in(space, own, read(target.previous, request.grid))
        )
        drawn = (
            None
            if target.scribble is None
            else _in(space, own, read(target.scribble, request.grid))
        )
        prompts = prompts_of(target, drawn, request.round, space, own)
        if options["box"] == "refused":
            prompts = [
                (number, prompt) for number, prompt in prompts if not isinstance(prompt, Slice)
            ]
        if options["scribble"] == "two-voxels":
            prompts = [(number, _thick(prompt, space.shape)) for number, prompt in prompts]
        if start is None and not any(
            isinstance(prompt, Slice) or prompt.foreground for _, prompt in prompts
        ):
            return Unsupported(
                "needs a foreground click, a scribble, a box or a mask" + _refusal(target, options)
            )
        refuse_constant(shown)
        before = request.round if start is not None else 0
        given = tuple(prompt for number, prompt in prompts if number < before)
        new = tuple(prompt for number, prompt in prompts if number >= before)
        steps = (
            (new,)
            if options["clicks"] == "together" and new
            else tuple((prompt,) for prompt in new)
        )
        with seconds.of("infer"):
            mask = network.segment(shown, start, given, steps, autozoom=options["autozoom"] == "on")
        told[target.name] = {
            "prompts": [_tell(prompt) for prompt in new],
            "earlier_prompts": len(given),
            "initial_segmentation": start is not None,
        }
        with seconds.of("postprocess"):
            return put_back(mask, space, request.grid)

    masks = each_target(request, segment)
    return Prediction(masks, notes={"options": dict(options), "targets": told}, seconds=seconds)


def refuse_constant(image: Volume) -> None:
    """Raise Undefined for an image that upstream would divide by its standard deviation of zero, or that is not finite."""
    low, high = float(image.array.min()), float(image.array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        raise Undefined(
            "nothing to standardise by: the image's values run from %g to %g" % (low, high)
        )


def prompts_of(
    target: Target, scribble: Any, now: int, space: VoxelGrid, own: VoxelGrid
) -> List[Tuple[int, Prompt]]:
    """A target's prompts in the network's array, each with the round that it was given in, in that order.

    The box comes first. Several points of one later round and sign are a drawn line, which the
    contract gives as points. The contract does not say of the scribble when it was drawn: it is
    this round's, unless this round brought points.
    """
    found: List[Tuple[int, Prompt]] = (
        [] if target.box is None else [(0, _slice(target.box, space, own))]
    )
    groups: Dict[Tuple[int, bool], List[Index]] = {}
    for point in target.points:
        groups.setdefault((point.round, point.foreground), []).append(_inside(space, point.ras_mm))
    for point in target.points:
        same = groups[point.round, point.foreground]
        if point.round == 0 or len(same) == 1:
            found.append((point.round, Click(_inside(space, point.ras_mm), point.foreground)))
        elif same:
            line = np.zeros(space.shape, dtype=bool)
            line[tuple(np.array(same).T)] = True
            found.append((point.round, _scribble(line, point.foreground)))
            same.clear()
    if scribble is not None and scribble.any():
        answered = now > 0 and any(point.round == now for point in target.points)
        found.append((now - 1 if answered else now, _scribble(scribble, True)))
    return sorted(found, key=lambda one: one[0])


def _inside(space: VoxelGrid, ras_mm: Any) -> Index:
    a, b, c = (min(max(n, 0), size - 1) for n, size in zip(voxel_of(space, ras_mm), space.shape))
    return (a, b, c)


def _slice(box: Box, space: VoxelGrid, own: VoxelGrid) -> Slice:
    """A flat box as it is; of another its middle slice, across the axis that is closest to the body's."""
    ends = [np.array(box.low), np.array(box.high) - 1]
    corners = [voxel_of(space, (own.affine @ [*end, 1])[:3]) for end in ends]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0) + 1
    if not (high - low == 1).any():
        along = int(np.argmax(abs(space.affine[2, :3]) / np.array(space.spacing)))
        low[along] = (low[along] + high[along]) // 2
        high[along] = low[along] + 1
    (a, b, c), (d, e, f) = low.tolist(), high.tolist()
    return Slice((a, b, c), (d, e, f))


def _scribble(mask: Any, foreground: bool) -> Scribble:
    """A mask of the whole array, not empty, as the part that is drawn."""
    window = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
        window.append(slice(int(hit[0]), int(hit[-1]) + 1))
    part = mask[tuple(window)]
    (a, b, c), (d, e, f) = (own.start for own in window), part.shape
    return Scribble((a, b, c), (d, e, f), np.packbits(part).tobytes(), foreground)


def _thick(prompt: Prompt, shape: Index) -> Prompt:
    """A line of two voxels instead of one, each voxel the first of a cube of eight; other prompts as they are."""
    if not isinstance(prompt, Scribble):
        return prompt
    spare = [
        min(low + size + 1, edge) - low - size
        for low, size, edge in zip(prompt.low, prompt.shape, shape)
    ]
    mask = np.pad(prompt.mask, [(0, one) for one in spare])
    for axis in range(3):
        here = np.moveaxis(mask, axis, 0)
        here[1:] |= here[:-1].copy()
    a, b, c = mask.shape
    return replace(prompt, shape=(a, b, c), bits=np.packbits(mask).tobytes())


def _in(space: VoxelGrid, own: VoxelGrid, mask: Any) -> Any:
    return sample(mask, own.affine, space, nearest=True, outside=False)


def _refusal(target: Target, options: Mapping[str, str]) -> str:
    refused = target.box is not None and options["box"] == "refused"
    return (
        "; the published network takes flat boxes only (option box=middle-slice)" if refused else ""
    )


def _tell(prompt: Prompt) -> Any:
    """A prompt for the notes, in the network's array."""
    if isinstance(prompt, Click):
        return {"click": list(prompt.index), "foreground": prompt.foreground}
    if isinstance(prompt, Slice):
        return {"box": [list(prompt.low), list(prompt.high)]}
    return {
        "scribble_from": list(prompt.low),
        "shape": list(prompt.shape),
        "foreground": prompt.foreground,
    }
