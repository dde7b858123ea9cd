"""Small pictures of scans with the outlines of their references, drawn with numpy alone."""

from __future__ import annotations

import struct
import zlib
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from evaluator.imaging.geometry import affine_of, to_index, to_world
from evaluator.report.cases.canvas import PLANES
from evaluator.report.cases.slices import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evaluator.imaging.grid_masks import GridMask
    from evaluator.report.cases.canvas import Plane
    from evaluator.types import Modality
    from zoo_sdk.wire import Grid

#: longest side of a picture, pixels
MOST_PIXELS = 220
#: grey levels; fewer make smaller files
GREYS = 96
#: outlines of targets, in their order, again and again
COLOURS = (
    "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#b04fd8", "#42d4f4", "#f032e6",
    "#a6d90b", "#fa8fb0", "#1fa5a5", "#a78bfa", "#c98a3b", "#ff6f61",
)  # fmt: skip


def colour_of(number: int) -> str:
    """The outline's colour of the n-th target."""
    return COLOURS[number % len(COLOURS)]


def draw_thumbnail(
    modality: Modality, array: NDArray[np.float32], grid: Grid, masks: Mapping[str, GridMask]
) -> bytes:
    """Draw axial, coronal and sagittal planes beside each other.

    The planes pass through the middle of the references, or of the image if there are none. The
    patient's right is on the left, and PET is black on white.

    Args:
        modality: of the image.
        array: (i, j, k).
        grid: of image and references.
        masks: target -> reference; the order determines the colours.

    Returns:
        A PNG file.
    """
    image = Image(modality=modality, array=array, affine=affine_of(grid))
    corners = np.array(list(product(*((-0.5, size - 0.5) for size in grid.shape))))
    places = to_world(affine_of(grid), corners)
    low, high = places.min(axis=0), places.max(axis=0)
    middle = _middle(masks, (low + high) / 2)
    step = float((high - low).max()) / MOST_PIXELS
    window = image.window("")
    panels = [
        _panel(plane, image, grid, masks, (low, high, middle, step, window)) for plane in PLANES
    ]
    rows = max(len(panel) for panel in panels)
    padded = []
    for panel in panels:
        padded.append(np.pad(panel, ((0, rows - len(panel)), (0, 2)), constant_values=0))
    return encode_png(np.concatenate(padded, axis=1), _palette(inverted=image.inverted))


def encode_png(indices: NDArray[np.uint8], palette: Sequence[tuple[int, int, int]]) -> bytes:
    """Encode a picture of palette colours as PNG (RFC 2083).

    Args:
        indices: (rows, columns), numbers of colours.
        palette: red, green and blue of at most 256 colours.
    """
    rows, columns = indices.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)
    colours = b"".join(bytes(colour) for colour in palette)
    body = zlib.compress(lines.tobytes(), 9)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", body), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        check = struct.pack(">I", zlib.crc32(kind + content))
        parts += [struct.pack(">I", len(content)), kind, content, check]
    return b"".join(parts)


def _panel(
    plane: Plane,
    image: Image,
    grid: Grid,
    masks: Mapping[str, GridMask],
    view: tuple[
        NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float, tuple[float, float]
    ],
) -> NDArray[np.uint8]:
    """One plane as numbers of colours; outlines are above the greys."""
    low, high, middle, step, window = view
    across = np.arange(high[plane.across], low[plane.across], -step)
    up = np.arange(high[plane.up], low[plane.up], -step)
    places = np.tile(middle, (len(up), len(across), 1))
    places[..., plane.across] = across[None, :]
    places[..., plane.up] = up[:, None]
    index = np.floor(to_index(image.affine, places.reshape(-1, 3)) + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < np.array(grid.shape))).all(axis=1)
    values = np.full(len(index), window[0], dtype=np.float32)
    values[inside] = image.array[tuple(index[inside].T)]
    scaled = np.clip((values - window[0]) / (window[1] - window[0]), 0, 1)
    scaled = np.nan_to_num(scaled, nan=0.0)
    picture: NDArray[np.uint8] = np.round(scaled * (GREYS - 1)).astype(np.uint8)
    picture = picture.reshape(len(up), len(across))
    for number, mask in enumerate(masks.values()):
        if not mask.empty:
            flat = _sample(mask, index).reshape(picture.shape)
            picture[_edge(flat)] = GREYS + number % len(COLOURS)
    return picture


def _sample(mask: GridMask, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    in_crop = index - np.array(mask.offset)
    inside = ((in_crop >= 0) & (in_crop < np.array(mask.array.shape))).all(axis=1)
    sampled = np.zeros(len(index), dtype=np.bool_)
    sampled[inside] = mask.array[tuple(in_crop[inside].T)]
    return sampled


def _edge(flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with a neighbour outside of it."""
    padded = np.pad(flat, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return flat & ~core


def _middle(masks: Mapping[str, GridMask], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the centres of the references' boxes, world mm."""
    centres = []
    for mask in masks.values():
        if not mask.empty:
            centre = np.array(mask.offset) + (np.array(mask.array.shape) - 1) / 2
            centres.append(to_world(affine_of(mask.grid), centre))
    return np.mean(centres, axis=0) if centres else otherwise


def _palette(*, inverted: bool) -> list[tuple[int, int, int]]:
    greys = [round(255 * n / (GREYS - 1)) for n in range(GREYS)]
    if inverted:
        greys.reverse()
    colours = [(grey, grey, grey) for grey in greys]
    for text in COLOURS:
        red, green, blue = (int(text[n : n + 2], 16) for n in (1, 3, 5))
        colours.append((red, green, blue))
    return colours
