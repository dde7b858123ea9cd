"""nnInteractive's pipeline from an image and prompts to masks: pure functions that take a session.

It uses the session as upstream does (MIC-DKFZ/nnInteractive at 154d9c6, readme.md): the unchanged
image with one channel, neither resampled nor windowed; prompt after prompt, where each prediction
is the previous segmentation of the next; the mask on the image's voxels. A mask that is sent back
is the initial segmentation. The prompts of earlier rounds are then added without a prediction, as
in upstream's file-based script (cvpr2025_challenge_baseline/predict.py), which restores the
session.
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
    """A foreground box, half-open, one voxel thick along one axis.

    The published network takes no other boxes.
    """

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
        earlier: Tuple[Prompt, ...],
        steps: Tuple[Step, ...],
        *,
        autozoom: bool,
    ) -> Any:
        """The mask after the last step, bool, of the image's shape.

        Args:
            image: the volume, as the network sees it.
            start: an initial segmentation or None.
            earlier: the prompts that led to it.
            steps: a prediction is made after each.
            autozoom: upstream's option.
        """


def predict(
    image: Volume,
    request: Request,
    network: Network,
    options: Mapping[str, str],
    read: Callable[[str, Any], Any] = read_mask,
) -> Prediction:
    """Answer a request about one image.

    ``options`` has a value for each of ``OPTIONS``; ``read`` reads a mask of the request.
    """
    seconds, target_notes = Seconds(), {}  # type: Seconds, Dict[str, Any]
    image_grid = voxel_grid_of(request.grid)
    network_grid = reversed_axes(
        canonical(image_grid) if options["orientation"] == "ras" else image_grid
    )
    with seconds.of("preprocess"):
        shown = Volume(
            sample(image.array, image.affine, network_grid, nearest=True), network_grid.affine
        )

    def segment(target: Target) -> Any:
        start = (
            None
            if target.previous is None
            else _in(network_grid, image_grid, read(target.previous, request.grid))
        )
        drawn = (
            None
            if target.scribble is None
            else _in(network_grid, image_grid, read(target.scribble, request.grid))
        )
        prompts = prompts_of(target, drawn, request.round, network_grid, image_grid)
        if options["box"] == "refused":
            prompts = [
                (number, prompt) for number, prompt in prompts if not isinstance(prompt, Slice)
            ]
        if options["scribble"] == "two-voxels":
            prompts = [(number, _thick(prompt, network_grid.shape)) for number, prompt in prompts]
        if start is None and not any(
            isinstance(prompt, Slice) or prompt.foreground for _, prompt in prompts
        ):
            return Unsupported(
                "needs a foreground click, a scribble, a box or a mask" + _refusal(target, options)
            )
        refuse_constant(shown)
        before = request.round if start is not None else 0
        earlier = tuple(prompt for number, prompt in prompts if number < before)
        new = tuple(prompt for number, prompt in prompts if number >= before)
        steps = (
            (new,)
            if options["clicks"] == "together" and new
            else tuple((prompt,) for prompt in new)
        )
        with seconds.of("infer"):
            mask = network.segment(
                shown, start, earlier, steps, autozoom=options["autozoom"] == "on"
            )
        target_notes[target.name] = {
            "prompts": [_tell(prompt) for prompt in new],
            "earlier_prompts": len(earlier),
            "initial_segmentation": start is not None,
        }
        with seconds.of("postprocess"):
            return put_back(mask, network_grid, request.grid)

    masks = each_target(request, segment)
    return Prediction(
        masks, notes={"options": dict(options), "targets": target_notes}, seconds=seconds
    )


def refuse_constant(image: Volume) -> None:
    """Raise Undefined for an image that is constant or not finite: upstream divides by its SD."""
    low, high = float(image.array.min()), float(image.array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        raise Undefined(
            "nothing to standardise by: the image's values run from %g to %g" % (low, high)
        )


def prompts_of(
    target: Target, scribble: Any, now: int, network_grid: VoxelGrid, image_grid: VoxelGrid
) -> List[Tuple[int, Prompt]]:
    """A target's prompts in the network's array, each with its round, in the order of rounds.

    The box comes first. Several points of one later round and sign are a drawn line, which the
    contract gives as points. The contract does not store the scribble's round: it is the current
    round unless that round has points.
    """
    prompts: List[Tuple[int, Prompt]] = (
        [] if target.box is None else [(0, _slice(target.box, network_grid, image_grid))]
    )
    groups: Dict[Tuple[int, bool], List[Index]] = {}
    for point in target.points:
        groups.setdefault((point.round, point.foreground), []).append(
            _inside(network_grid, point.ras_mm)
        )
    for point in target.points:
        same = groups[point.round, point.foreground]
        if point.round == 0 or len(same) == 1:
            prompts.append(
                (point.round, Click(_inside(network_grid, point.ras_mm), point.foreground))
            )
        elif same:
            line = np.zeros(network_grid.shape, dtype=bool)
            line[tuple(np.array(same).T)] = True
            prompts.append((point.round, _scribble(line, point.foreground)))
            same.clear()
    if scribble is not None and scribble.any():
        answered = now > 0 and any(point.round == now for point in target.points)
        prompts.append((now - 1 if answered else now, _scribble(scribble, True)))
    return sorted(prompts, key=lambda dated: dated[0])


def _inside(network_grid: VoxelGrid, ras_mm: Any) -> Index:
    a, b, c = (
        min(max(n, 0), size - 1)
        for n, size in zip(voxel_of(network_grid, ras_mm), network_grid.shape)
    )
    return (a, b, c)


def _slice(box: Box, network_grid: VoxelGrid, image_grid: VoxelGrid) -> Slice:
    """A flat box as given; of another the middle slice across the axis closest to the body's."""
    ends = [np.array(box.low), np.array(box.high) - 1]
    corners = [voxel_of(network_grid, (image_grid.affine @ [*end, 1])[:3]) for end in ends]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0) + 1
    if not (high - low == 1).any():
        along = int(np.argmax(abs(network_grid.affine[2, :3]) / np.array(network_grid.spacing)))
        low[along] = (low[along] + high[along]) // 2
        high[along] = low[along] + 1
    (a, b, c), (d, e, f) = low.tolist(), high.tolist()
    return Slice((a, b, c), (d, e, f))


def _scribble(mask: Any, foreground: bool) -> Scribble:
    """A mask of the array, not empty, as the part that is drawn."""
    window = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
        window.append(slice(int(hit[0]), int(hit[-1]) + 1))
    part = mask[tuple(window)]
    (a, b, c), (d, e, f) = (side.start for side in window), part.shape
    return Scribble((a, b, c), (d, e, f), np.packbits(part).tobytes(), foreground)


def _thick(prompt: Prompt, shape: Index) -> Prompt:
    """A scribble two voxels thick: each voxel becomes a cube of eight. Other prompts unchanged."""
    if not isinstance(prompt, Scribble):
        return prompt
    spare = [
        min(low + size + 1, edge) - low - size
        for low, size, edge in zip(prompt.low, prompt.shape, shape)
    ]
    mask = np.pad(prompt.mask, [(0, count) for count in spare])
    for axis in range(3):
        line = np.moveaxis(mask, axis, 0)
        line[1:] |= line[:-1].copy()
    a, b, c = mask.shape
    return replace(prompt, shape=(a, b, c), bits=np.packbits(mask).tobytes())


def _in(network_grid: VoxelGrid, image_grid: VoxelGrid, mask: Any) -> Any:
    return sample(mask, image_grid.affine, network_grid, nearest=True, outside=False)


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
