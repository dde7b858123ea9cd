"""Networks with their published weights on images that they were not made for.

    python benchmarks/outside_domain.py --weights deepbet=DIR --weights mindgrab=DIR \
        --image colin27=MR:ch2.nii.gz --image body-ct=CT:example_ct.nii.gz --write

Needs a Python with torch, numpy, scipy and nibabel. The adapters are asked directly: ``umd run``
refuses a modality that is not on a card. The table goes into docs/outside-its-domain.md and a
picture for each image into docs/figures. A picture shows outlines from the front: of the body,
which is what is brighter than a threshold, and of the masks; no voxel of an image is stored.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.gpu_networks import ROOT, lay_out
from benchmarks.gpu_sessions import UNITS, Session, SessionError
from zoo_sdk.wire import Grid, ImageFile, Request, Target, dump_request

PAGE = ROOT / "docs" / "outside-its-domain.md"
BEGIN = "<!-- figures: made by benchmarks/outside_domain.py; do not edit -->"
END = "<!-- end of figures -->"
#: a CT's body is what is above this, in HU; another image's what is above a share of its brightest
BODY_HU, BODY_SHARE = -300.0, 0.05
#: rows of a picture
ROWS = 120
COLOURS = {"deepbet": "#c03030", "mindgrab": "#2050c0"}
SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image and the masks of the networks, as the front shows them: rows from the head down."""

    name: str
    modality: str
    body: np.ndarray
    masks: dict[str, np.ndarray]
    #: size of a column and of a row, mm
    size: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--weights", action="append", default=[], metavar="MODEL=FOLDER")
    parser.add_argument("--image", action="append", default=[], metavar="NAME=MODALITY:FILE")
    parser.add_argument("--option", action="append", default=[], metavar="IMAGE:NAME=VALUE")
    parser.add_argument("--write", action="store_true", help="update the page and its pictures")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="outside-domain-"))
    lines = []
    try:
        for text in arguments.image:
            name, _, rest = text.partition("=")
            modality, _, path = rest.partition(":")
            options = [o.partition(":")[2] for o in arguments.option if o.startswith(f"{name}:")]
            masks = {}
            for weights in arguments.weights:
                model, _, folder = weights.partition("=")
                place = work / f"{model}-{name}"
                network = lay_out(model, place / "model", arguments.bundle)
                usable = [o for o in options if o.partition("=")[0] in network.labels["options"]]
                chosen = dict(option.split("=") for option in usable)
                write_request(place / "input", Path(path), modality, chosen)
                begun = time.monotonic()
                masks[model], outcome = ask(network, Path(folder), place)
                seconds = time.monotonic() - begun
                lines.append(row(name, modality, model, chosen, masks[model], outcome, Path(path)))
                print(lines[-1], f"{seconds:.0f} s", flush=True)
            if arguments.write:
                present = {model: mask for model, mask in masks.items() if mask is not None}
                draw(picture(name, modality, Path(path), present))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if arguments.write:
        update(lines)


def write_request(folder: Path, path: Path, modality: str, options: dict[str, str]) -> None:
    """Copy an image into an input folder, and ask for its brain."""
    for name in ("requests", "images"):
        (folder / name).mkdir(parents=True)
    image = nibabel.load(path)
    nibabel.save(image, folder / "images" / "image.nii.gz")
    affine = tuple(map(tuple, image.affine.tolist()))
    request = Request(
        id="r",
        case="r",
        round=0,
        images={modality: ImageFile("images/image.nii.gz", UNITS[modality])},
        grid=Grid(shape=image.shape[:3], affine=affine),
        targets=(Target("brain", "brain"),),
        options=options,
    )
    (folder / "requests" / "r.json").write_text(json.dumps(dump_request(request)))


def ask(network, weights: Path, work: Path) -> tuple[np.ndarray | None, str]:
    """The mask, or the reason why there is none."""
    request = json.loads((work / "input/requests/r.json").read_text())
    shape = tuple(request["grid"]["shape"])
    deadline = time.monotonic() + SECONDS
    brain_request = Request("r", "r", 0, {}, Grid(shape, ()), (Target("brain"),))
    try:
        with Session(network, weights.resolve(), work, "") as session:
            session.wait_until_ready(deadline)
            answer = session.ask(brain_request, deadline)
    except SessionError as error:
        return None, str(error)
    return answer.masks["brain"].reshape(shape, order="F"), ""


def row(name, modality, model, options, mask, outcome: str, path: Path) -> str:
    """A row of the table: the volume of the mask, and its share of the body."""
    chosen = ", ".join(f"{key}={value}" for key, value in options.items()) or "-"
    if mask is None:
        return f"| {name} | {modality} | `{model}` | {chosen} | no mask | {outcome[:160]} |"
    image = nibabel.load(path)
    voxel = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    inside = body_of(np.asarray(image.dataobj), modality)
    share = (mask & inside).sum() / max(int(inside.sum()), 1)
    volume = f"{mask.sum() * voxel:,.0f} ml"
    return f"| {name} | {modality} | `{model}` | {chosen} | {volume} | {share:.0%} of the body |"


def body_of(values: np.ndarray, modality: str) -> np.ndarray:
    """What is brighter than air."""
    if modality == "CT":
        return np.asarray(values > BODY_HU)
    return np.asarray(values > BODY_SHARE * np.percentile(values, 99.9))


def picture(name: str, modality: str, path: Path, masks: dict[str, np.ndarray]) -> Picture:
    """The image from the front."""
    image = nibabel.load(path)
    body = body_of(np.asarray(image.dataobj), modality)
    turn = nibabel.io_orientation(image.affine)
    sizes = nibabel.affines.voxel_sizes(nibabel.as_closest_canonical(image).affine)

    def front(mask: np.ndarray) -> np.ndarray:
        ras = nibabel.apply_orientation(mask, turn)
        step = max(1, -(-ras.shape[2] // ROWS))
        # seen from the front the patient's right is on the left: the first axis grows to the right
        seen = ras.any(axis=1).T[::-1, ::-1][::step, ::step]
        return np.asarray(seen)

    step = max(1, -(-nibabel.apply_orientation(body, turn).shape[2] // ROWS))
    return Picture(
        name=name,
        modality=modality,
        body=front(body),
        masks={model: front(mask) for model, mask in masks.items()},
        size=(float(sizes[0]) * step, float(sizes[2]) * step),
    )


def draw(shown: Picture) -> Path:
    """Write the picture as SVG: the body grey, each mask in its colour."""
    width, height = shown.body.shape[1] * shown.size[0], shown.body.shape[0] * shown.size[1]
    scale = min(240 / height, 360 / width)
    parts = [path_of(shown.body, shown.size, "#d8d8d8", 1.0)]
    for model, mask in shown.masks.items():
        parts.append(path_of(mask, shown.size, COLOURS.get(model, "#208040"), 0.55))
    title = f"{shown.name} ({shown.modality}): body grey, " + ", ".join(
        f"{model} {COLOURS.get(model, '#208040')}" for model in shown.masks
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * scale:.0f}" '
        f'height="{height * scale:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}"><title>{title}</title>'
        f"{''.join(parts)}</svg>\n"
    )
    path = ROOT / "docs" / "figures" / f"outside-{shown.name}.svg"
    path.write_text(svg, encoding="utf-8")
    return path


def path_of(mask: np.ndarray, size: tuple[float, float], colour: str, opacity: float) -> str:
    """A mask as horizontal bars, each a little higher than its row, so that no gap shows."""
    bars = []
    for number, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.r_[0, line.astype(np.int8), 0]))
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            left, length, top = first * size[0], (end - first) * size[0], number * size[1]
            bars.append(f"M{left:.0f} {top:.0f}h{length:.0f}v{size[1] + 0.6:.1f}h-{length:.0f}z")
    return f'<path d="{"".join(bars)}" fill="{colour}" fill-opacity="{opacity}"/>'


def update(lines: list[str]) -> None:
    """Write the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = '| image | modality | network | options | "brain" | |\n|---|---|---|---|---|---|'
    table = "\n".join([head, *lines])
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
