"""Our nnInteractive against upstream's, same files, same random weights; then an ideal session.

Upstream is used as its readme says: SimpleITK's array of the file as it is, one session, prompt
after prompt. Ours is asked by requests as the evaluator makes them: round by round with the mask
handed back, targets in turn, in one session. A JSON line for each comparison.

    python nninteractive.py SIZE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
import torch

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "models/sdk"), str(ROOT / "models/nninteractive")]

import network  # noqa: E402
import pipeline  # noqa: E402
import random_weights  # noqa: E402

from tests.zoo.bodies import Body, body, dice  # noqa: E402
from zoo_sdk import Box, Point, Target, choose_options  # noqa: E402
from zoo_sdk.nifti import write  # noqa: E402

#: volume, orientation, what is asked of it
VOLUMES = (
    ("LPS CT", "ras", ("clicks", "box", "scribble", "mask")),
    ("PIR MR", "stored", ("box", "scribble")),
    ("oblique PET", "ras", ("clicks", "mask")),
)
#: how often two images are asked about in turn
REMEMBERED = 20


def main(size: str) -> None:
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        os.environ["UMD_WEIGHTS"] = folder
        random_weights.write(size, Path(folder))
        ours = network.NnInteractive()
        for name, orientation, kinds in VOLUMES:
            for what, differ, voxels in compare(
                body(name), orientation, kinds, ours, Path(folder, "image.nii.gz")
            ):
                say(volume=name, orientation=orientation, what=what, differ=differ, voxels=voxels)
        for autozoom in ("on", "off"):
            say(ideal="lung of 217 voxels", autozoom=autozoom, dice=ideal(ours, autozoom))
        say(remembered=REMEMBERED, shown=remembered(ours))


def remembered(ours: network.NnInteractive) -> int:
    """How many images the session prepares for two alternating images whose masks are cached.

    The package prepares an image beside the answer, in two threads of which each task takes both:
    two images at once wait for each other for ever.
    """
    targets = [
        TargetInRounds(body(name), ours, "ras", "liver") for name in ("LPS CT", "oblique PET")
    ]
    for target in targets:
        target.click(target.phantom.click("liver"), 0)
    shown, show = [], ours._session.set_image
    ours._session.set_image = lambda *arguments: (shown.append(1), show(*arguments))
    for _ in range(REMEMBERED):
        for target in targets:
            target.masks.clear()
            target.ask()
    ours._session.set_image = show
    return len(shown)


def say(**line) -> None:
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def compare(
    phantom: Body, orientation: str, kinds: tuple[str, ...], ours: network.NnInteractive, path: Path
):
    """What was compared, voxels that differ, voxels of the mask."""
    save(phantom, path)
    theirs = Upstream(path, turn=orientation == "ras")
    for kind in kinds:
        theirs.session.reset_interactions()
        yield from KINDS[kind](
            phantom, lambda organ: TargetInRounds(phantom, ours, orientation, organ), theirs
        )


def compare_clicks(phantom: Body, target_of, theirs: Upstream):
    """Ours is asked for two targets in turn, round by round; upstream does one after the other."""
    marks = {
        "liver": [phantom.click("liver"), away(phantom), phantom.click("kidney-left")],
        "spleen": [phantom.click("spleen"), phantom.click("lesion")],
    }
    ours = {organ: target_of(organ) for organ in marks}
    rounds = [(n, organ) for n, organ in product(range(3), marks) if n < len(marks[organ])]
    masks = {(n, organ): ours[organ].click(marks[organ][n], n) for n, organ in rounds}
    for organ, points in marks.items():
        theirs.session.reset_interactions()
        for n, point in enumerate(points):
            yield f"{organ}, round {n}", *differences(theirs.click(point), masks[n, organ])


def compare_boxes(phantom: Body, target_of, theirs: Upstream):
    ours, box = target_of("liver"), flat_box(phantom.mask("liver"))
    yield "a box", *differences(theirs.box(box), ours.ask(box=box))
    yield (
        "a click after it",
        *differences(theirs.click(phantom.click("spleen")), ours.click(phantom.click("spleen"), 1)),
    )


def compare_scribbles(phantom: Body, target_of, theirs: Upstream):
    """A line along the organ, and then a line of background, which comes as points."""
    ours, line = target_of("kidney-left"), np.zeros(phantom.grid.shape, bool)
    i, j, _ = phantom.click("kidney-left").index
    line[i, j] = phantom.mask("kidney-left")[i, j]
    yield "a scribble", *differences(theirs.scribble(line), ours.ask(scribble=line))
    x, y, z = away(phantom).index
    beside = [at(phantom, (x, y + n, z), foreground=False) for n in range(4)]
    line = np.zeros(phantom.grid.shape, bool)
    line[x, y : y + 4, z] = True
    yield (
        "a scribble of background",
        *differences(theirs.scribble(line, include=False), ours.click_all(beside, 1)),
    )


def compare_masks(phantom: Body, target_of, theirs: Upstream):
    mask = phantom.mask("pancreas")
    yield (
        "a mask to refine",
        *differences(theirs.refine(mask), target_of("pancreas").ask(previous=mask)),
    )


KINDS = {
    "clicks": compare_clicks,
    "box": compare_boxes,
    "scribble": compare_scribbles,
    "mask": compare_masks,
}


def differences(theirs, ours) -> tuple[int, int]:
    return int((theirs != ours).sum()), int(theirs.sum())


class TargetInRounds:
    """Our pipeline, asked for one target in rounds, with the mask handed back."""

    def __init__(
        self, phantom: Body, net: network.NnInteractive, orientation: str, name: str
    ) -> None:
        self.phantom, self.net, self.name, self.masks, self.points, self.box = (
            phantom,
            net,
            name,
            {},
            (),
            None,
        )
        chosen = {"orientation": orientation, "scribble": "as-drawn"}
        self.options = choose_options(replace(phantom.request(), options=chosen), pipeline.OPTIONS)

    def click(self, point: Point, number: int):
        return self.click_all([point], number)

    def click_all(self, points: list[Point], number: int):
        self.points += tuple(replace(point, round=number) for point in points)
        return self.ask(number=number)

    def ask(self, number: int = 0, box: Box | None = None, scribble=None, previous=None):
        self.box = box or self.box
        self.masks |= {"scribble": scribble} if scribble is not None else {}
        self.masks |= {"previous": previous} if previous is not None else {}
        named = {name: name for name in self.masks}
        target = Target(name=self.name, points=self.points, box=self.box, **named)
        request = replace(self.phantom.request(), targets=(target,), round=number)
        prediction = pipeline.predict(
            self.phantom.image, request, self.net, self.options, lambda name, _: self.masks[name]
        )
        mask = prediction.masks[self.name]
        if isinstance(mask, Exception):
            raise mask
        self.masks["previous"] = mask
        return mask


class Upstream:
    """Upstream's session on a file, as in its readme; ``turn``: nibabel turns the file to RAS+."""

    def __init__(self, path: Path, turn: bool) -> None:
        self.path, self.turn = path, turn
        if turn:
            nibabel.save(
                nibabel.as_closest_canonical(nibabel.load(path)), path.with_name("turned.nii.gz")
            )
        self.image = SimpleITK.ReadImage(str(path.with_name("turned.nii.gz") if turn else path))
        array = SimpleITK.GetArrayFromImage(self.image)
        self.session = network.open_session(torch.device("cpu"))
        self.session.set_image(array[None])
        self.buffer = torch.zeros(array.shape, dtype=torch.uint8)
        self.session.set_target_buffer(self.buffer)

    def click(self, point: Point):
        return self.after(
            self.session.add_point_interaction, self.place(point.index), point.foreground
        )

    def box(self, box: Box):
        ends = np.array([self.place(box.low), self.place(np.array(box.high) - 1)])
        return self.after(
            self.session.add_bbox_interaction,
            np.stack([ends.min(0), ends.max(0) + 1], 1).tolist(),
            True,
        )

    def scribble(self, mask, include: bool = True):
        return self.after(self.session.add_scribble_interaction, self.array_of(mask), include)

    def refine(self, mask):
        return self.after(self.session.add_initial_seg_interaction, self.array_of(mask), True)

    def after(self, interact, *given):
        """The mask after an interaction; what upstream draws by chance is drawn from our seed."""
        np.random.seed(network.SEED)  # noqa: NPY002
        interact(*given)
        return self.mask()

    def place(self, index) -> tuple[int, ...]:
        """A voxel of the file in the session's array, through SimpleITK's world."""
        file = SimpleITK.ReadImage(str(self.path))
        world = file.TransformIndexToPhysicalPoint([int(n) for n in index])
        return tuple(self.image.TransformPhysicalPointToIndex(world))[::-1]

    def array_of(self, mask):
        image = nibabel.Nifti1Image(mask.astype(np.uint8), nibabel.load(self.path).affine)
        turned = nibabel.as_closest_canonical(image) if self.turn else image
        return np.ascontiguousarray(np.asarray(turned.dataobj).transpose(2, 1, 0))

    def mask(self):
        """What the buffer holds, on the file's grid by nibabel's orientations."""
        array = self.buffer.numpy().transpose(2, 1, 0) > 0
        if not self.turn:
            return array
        file_orientation = nibabel.io_orientation(nibabel.load(self.path).affine)
        back = nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), file_orientation
        )
        return nibabel.orientations.apply_orientation(array, back)


def save(phantom: Body, path: Path) -> None:
    array = phantom.image.array
    letter, kind = ("h", "<i2") if phantom.image.stores_integers else ("f", "<f4")
    write(
        path, array.shape, phantom.grid.affine, letter, np.asarray(array, kind).tobytes(order="F")
    )


def away(phantom: Body) -> Point:
    """A background click, off all organs."""
    return at(phantom, tuple(n // 5 for n in phantom.grid.shape), foreground=False)


def at(phantom: Body, index: tuple[int, ...], *, foreground: bool) -> Point:
    x, y, z = (phantom.affine @ [*index, 1])[:3]
    return Point(index=index, ras_mm=(x, y, z), foreground=foreground)


def flat_box(mask) -> Box:
    """The organ's box, one voxel thick along the last axis."""
    voxels = np.argwhere(mask)
    low, high = voxels.min(axis=0).tolist(), (voxels.max(axis=0) + 1).tolist()
    low[2] = (low[2] + high[2]) // 2
    return Box(low=tuple(low), high=(high[0], high[1], low[2] + 1))


def ideal(ours: network.NnInteractive, autozoom: str) -> float:
    """Dice of the lung, which is larger than a patch, with a network that thresholds the image."""
    phantom = body("fine CT")
    mask = phantom.mask("lung")
    shown = replace(
        phantom, image=replace(phantom.image, array=np.where(mask, np.float32(1000), np.float32(0)))
    )
    real = ours._session.network
    ours._session.network = Threshold(ours._session)
    try:
        options = choose_options(
            replace(phantom.request(), options={"autozoom": autozoom}), pipeline.OPTIONS
        )
        lung = pipeline.predict(shown.image, phantom.request("lung"), ours, options).masks["lung"]
    finally:
        ours._session.network = real
    if isinstance(lung, Exception):
        raise lung
    return round(dice(lung, mask), 4)


class Threshold(torch.nn.Module):
    """Foreground where the image is brighter than halfway."""

    def __init__(self, session) -> None:
        super().__init__()
        self.session = session

    def forward(self, x):
        image = self.session.preprocessed_image
        over = x[:, :1] - (image.max() + image.min()) / 2
        return torch.cat((-over, over), 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
