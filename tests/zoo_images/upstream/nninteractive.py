"""Our nnInteractive beside upstream's, on the same files with the same random weights; then a session that is always right.

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
    """How many images the session is shown when two are asked about in turn, each mask known from before.

    The package prepares an image beside the answer, in two threads of which each task takes both:
    two images at once wait for each other for ever.
    """
    asked = [Asked(body(name), ours, "ras", "liver") for name in ("LPS CT", "oblique PET")]
    for one in asked:
        one.click(one.own.click("liver"), 0)
    shown, show = [], ours._session.set_image
    ours._session.set_image = lambda *given: (shown.append(1), show(*given))
    for _ in range(REMEMBERED):
        for one in asked:
            one.masks.clear()
            one.ask()
    ours._session.set_image = show
    return len(shown)


def say(**told) -> None:
    print(json.dumps(told), file=sys.__stdout__, flush=True)


def compare(
    own: Body, orientation: str, kinds: tuple[str, ...], ours: network.NnInteractive, path: Path
):
    """What was compared, voxels that differ, voxels of the mask."""
    save(own, path)
    theirs = Upstream(path, turn=orientation == "ras")
    for kind in kinds:
        theirs.session.reset_interactions()
        yield from KINDS[kind](own, lambda organ: Asked(own, ours, orientation, organ), theirs)


def compare_clicks(own: Body, asked, theirs: Upstream):
    """Ours is asked for two targets in turn, round by round; upstream does one after the other."""
    marks = {
        "liver": [own.click("liver"), away(own), own.click("kidney-left")],
        "spleen": [own.click("spleen"), own.click("lesion")],
    }
    ours = {organ: asked(organ) for organ in marks}
    rounds = [(n, organ) for n in range(3) for organ in marks if n < len(marks[organ])]
    found = {(n, organ): ours[organ].click(marks[organ][n], n) for n, organ in rounds}
    for organ, points in marks.items():
        theirs.session.reset_interactions()
        for n, point in enumerate(points):
            yield f"{organ}, round {n}", *differences(theirs.click(point), found[n, organ])


def compare_boxes(own: Body, asked, theirs: Upstream):
    ours, box = asked("liver"), flat_box(own.mask("liver"))
    yield "a box", *differences(theirs.box(box), ours.ask(box=box))
    yield (
        "a click after it",
        *differences(theirs.click(own.click("spleen")), ours.click(own.click("spleen"), 1)),
    )


def compare_scribbles(own: Body, asked, theirs: Upstream):
    """A line along the organ, and then a line of background, which comes as points."""
    ours, line = asked("kidney-left"), np.zeros(own.grid.shape, bool)
    i, j, _ = own.click("kidney-left").index
    line[i, j] = own.mask("kidney-left")[i, j]
    yield "a scribble", *differences(theirs.scribble(line), ours.ask(scribble=line))
    x, y, z = away(own).index
    beside = [at(own, (x, y + n, z), foreground=False) for n in range(4)]
    line = np.zeros(own.grid.shape, bool)
    line[x, y : y + 4, z] = True
    yield (
        "a scribble of background",
        *differences(theirs.scribble(line, include=False), ours.click_all(beside, 1)),
    )


def compare_masks(own: Body, asked, theirs: Upstream):
    mask = own.mask("pancreas")
    yield (
        "a mask to refine",
        *differences(theirs.refine(mask), asked("pancreas").ask(previous=mask)),
    )


KINDS = {
    "clicks": compare_clicks,
    "box": compare_boxes,
    "scribble": compare_scribbles,
    "mask": compare_masks,
}


def differences(theirs, ours) -> tuple[int, int]:
    return int((theirs != ours).sum()), int(theirs.sum())


class Asked:
    """Our pipeline, asked for one target in rounds, with the mask handed back."""

    def __init__(self, own: Body, net: network.NnInteractive, orientation: str, name: str) -> None:
        self.own, self.net, self.name, self.masks, self.points, self.box = (
            own,
            net,
            name,
            {},
            (),
            None,
        )
        chosen = {"orientation": orientation, "scribble": "as-drawn"}
        self.options = choose_options(replace(own.request(), options=chosen), pipeline.OPTIONS)

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
        request = replace(self.own.request(), targets=(target,), round=number)
        said = pipeline.predict(
            self.own.image, request, self.net, self.options, lambda name, _: self.masks[name]
        )
        found = said.masks[self.name]
        if isinstance(found, Exception):
            raise found
        self.masks["previous"] = found
        return found


class Upstream:
    """Upstream's session on a file, by its readme; with ``turn`` on the file as nibabel turns it to RAS+."""

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
        own = nibabel.io_orientation(nibabel.load(self.path).affine)
        back = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), own)
        return nibabel.orientations.apply_orientation(array, back)


def save(own: Body, path: Path) -> None:
    array = own.image.array
    letter, kind = ("h", "<i2") if own.image.stores_integers else ("f", "<f4")
    write(path, array.shape, own.grid.affine, letter, np.asarray(array, kind).tobytes(order="F"))


def away(own: Body) -> Point:
    """A background click, off all organs."""
    return at(own, tuple(n // 5 for n in own.grid.shape), foreground=False)


def at(own: Body, index: tuple[int, ...], *, foreground: bool) -> Point:
    x, y, z = (own.affine @ [*index, 1])[:3]
    return Point(index=index, ras_mm=(x, y, z), foreground=foreground)


def flat_box(mask) -> Box:
    """The organ's box, one voxel thick along the last axis."""
    hits = [
        np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis))) for axis in range(3)
    ]
    low, high = [int(hit[0]) for hit in hits], [int(hit[-1]) + 1 for hit in hits]
    low[2] = (low[2] + high[2]) // 2
    return Box(low=tuple(low), high=(high[0], high[1], low[2] + 1))


def ideal(ours: network.NnInteractive, autozoom: str) -> float:
    """Dice of the lung, larger than a patch, with a network that reads the reference off the image."""
    own = body("fine CT")
    mask = own.mask("lung")
    shown = replace(
        own, image=replace(own.image, array=np.where(mask, np.float32(1000), np.float32(0)))
    )
    real = ours._session.network
    ours._session.network = Threshold(ours._session)
    try:
        options = choose_options(
            replace(own.request(), options={"autozoom": autozoom}), pipeline.OPTIONS
        )
        found = pipeline.predict(shown.image, own.request("lung"), ours, options).masks["lung"]
    finally:
        ours._session.network = real
    if isinstance(found, Exception):
        raise found
    return round(dice(found, mask), 4)


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
