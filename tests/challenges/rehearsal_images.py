"""Fourteen images of six teams: good, weak, broken, hostile, and of two other challenges.

Most are a few files on ``umd/base``; the others have 2 MB or are archives alone.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from evaluator.zoo import ensure_image, find_model
from tests.docker.test_foreign_engines import (
    PREDICT,
    PREDICT_IMAGE,
    SHELL,
    SHELL_IMAGE,
    SOCKETS,
)
from tests.image_archives import archive_bytes, file, image, tar_bytes

__all__ = ["SOCKETS", "SUBMISSIONS", "Handed", "build_images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What a team hands in, and what must come of it."""

    team: str
    track: str
    #: key of ``build_images``
    image: str
    kind: str
    #: state at the end, whose fault a failure is, and the step that shows it
    state: str
    fault: str = ""
    step: str = ""


def _scored(team: str, track: str, image: str, kind: str) -> Handed:
    return Handed(team=team, track=track, image=image, kind=kind, state="scored")


def _failed(team: str, track: str, image: str, kind: str, step: str) -> Handed:
    return Handed(
        team=team, track=track, image=image, kind=kind, state="failed", fault="team", step=step
    )


SUBMISSIONS = (
    _scored("north", "box", "ellipsoid", "good"),
    _scored("north", "point", "region-growing", "good"),
    _scored("east", "box", "threshold", "good, a packed archive"),
    _scored("east", "point", "painter", "weak: paints the point alone"),
    _scored("south", "box", "empty", "weak: its masks are empty"),
    _failed("south", "point", "dies", "broken: ends while it loads", "dry run"),
    _scored("west", "box", "cvpr25", "CVPR 2025, without labels"),
    _scored("west", "point", "grand-challenge", "Grand Challenge, without labels, CT alone"),
    _failed("centre", "box", "region-growing", "broken: takes no boxes", "dry run"),
    _failed("centre", "box", "cut-short", "broken: half of an archive", "check"),
    _scored("centre", "point", "dies-on-pet", "broken: ends at each PET"),
    _scored("mallory", "point", "snoop", "hostile: searches for references"),
    _failed("mallory", "point", "ignore-signals", "hostile: sleeps and ignores signals", "dry run"),
    _failed("mallory", "box", "escapes", "hostile: an archive with paths that leave it", "check"),
)

ADAPTER = """
import os
import numpy as np
from zoo_sdk import Adapter as Base, each_target

class Adapter(Base):
    def predict(self, request):
        def answer(target):
            mask = np.zeros(request.grid.shape, bool)
            CODE
            return mask
        return each_target(request, answer)
"""
PAINT = """for point in target.points:
                i, j, k = point.index
                mask[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2] = True"""
CODES = {
    "painter": PAINT,
    "empty": "pass",
    "dies-on-pet": f"'PT' in request.images and os._exit(3)\n            {PAINT}",
}
DOCKERFILE = """FROM umd/base
COPY . /opt/model/
ENTRYPOINT [{entrypoint}]
LABEL umd.contract="1" umd.name="{name}" umd.inputs="CT | MR | PT" umd.prompts="point,box" \\
 umd.session="stdio" umd.memory="1GiB" umd.timeout="60" umd.gpu="none"
"""
#: the hostile model, with one attack for all requests and their targets
ONE_ATTACK = """
import json, sys
from pathlib import Path
import model, request

class Request(request.Request):
    def __init__(self, name):
        self.id, self.folder = name, Path("/output", name)
        body = json.loads(Path("/input/requests", name + ".json").read_text())
        self.targets, self.affine = body["targets"], body["grid"]["affine"]
        self.shape = tuple(body["grid"]["shape"])
        self.choose(self.targets[0])

    def choose(self, target):
        self.target, self.attack = target, target["name"]
        self.file = self.folder / (self.attack + ".nii.gz")

    def write(self, *arguments, **more):
        for target in self.targets:
            self.choose(target)
            super().write(*arguments, **more)

    def body(self, **more):
        names = [target["name"] for target in self.targets]
        return {"id": self.id, "targets": {name: {"status": "ok"} for name in names}, **more}

request.say('{"ready": true, "contract": 1}')
for line in sys.stdin:
    model.ATTACKS["NAME"](Request(line.strip()))
"""


def build_images(folder: Path) -> dict[str, str]:
    """Build the images and archives.

    Args:
        folder: for contexts and archives; it is created.

    Returns:
        name -> what is handed in: a reference or a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    zoo = ("ellipsoid", "region-growing", "threshold")
    sources = {name: ensure_image(find_model(name)).reference for name in zoo}
    for name, code in CODES.items():
        context = _context(folder, name, {"adapter.py": ADAPTER.replace("CODE", code)})
        sources[name] = _build(context, name, ("-m", "zoo_sdk.serve", "/opt/model/adapter.py"))
    dies = _context(folder, "dies", {"model.py": "raise SystemExit('no weights')\n"})
    sources["dies"] = _build(dies, "dies", ("/opt/model/model.py",))
    hostile = Path(__file__).parents[1] / "docker" / "hostile" / "image"
    for name in ("snoop", "ignore-signals"):
        context = _context(folder, name, {"attack.py": ONE_ATTACK.replace("NAME", name)})
        for path in hostile.glob("*.py"):
            shutil.copy(path, context)
        sources[name] = _build(context, name, ("/opt/model/attack.py",))
    context = _context(folder, "cvpr25", {"predict.py": PREDICT, "Dockerfile": PREDICT_IMAGE})
    sources["cvpr25"] = _build(context, "cvpr25")
    return sources | _archives(folder, sources)


def _archives(folder: Path, sources: dict[str, str]) -> dict[str, str]:
    files = {"answer.sh": SHELL.replace("KEY", "socket"), "Dockerfile": SHELL_IMAGE}
    context = _context(folder, "grand-challenge", files)
    busybox = shutil.which("busybox")
    assert busybox, "no busybox; apt-get install busybox-static"
    shutil.copy(busybox, context)
    paths = {name: folder / f"{name}.tar" for name in ("grand-challenge", "cut-short", "escapes")}
    _docker("save", "-o", str(paths["grand-challenge"]), _build(context, "grand-challenge"))
    content = paths["grand-challenge"].read_bytes()
    paths["cut-short"].write_bytes(content[: len(content) // 2])
    layer = tar_bytes([file("../../../etc/cron.d/mallory", b"* * * * * root true\n")])
    paths["escapes"].write_bytes(archive_bytes(image([layer])))
    paths["threshold"] = folder / "threshold.tar.gz"
    if not paths["threshold"].exists():
        _pack(sources["threshold"], paths["threshold"])
    return {name: str(path) for name, path in paths.items()}


def _pack(reference: str, packed: Path) -> None:
    plain = packed.with_suffix("")
    _docker("save", "-o", str(plain), reference)
    with plain.open("rb") as read, gzip.open(packed, "wb", compresslevel=1) as write:
        shutil.copyfileobj(read, write)
    plain.unlink()


def _context(folder: Path, name: str, files: dict[str, str]) -> Path:
    context = folder / name
    context.mkdir(exist_ok=True)
    for file_name, text in files.items():
        (context / file_name).write_text(text)
    return context


def _build(context: Path, name: str, arguments: tuple[str, ...] = ()) -> str:
    """Build an image; ``arguments`` of Python make its Dockerfile."""
    if arguments:
        words = ", ".join(f'"{word}"' for word in ("python3", *arguments))
        text = DOCKERFILE.format(name=name, entrypoint=words)
        (context / "Dockerfile").write_text(text)
    tag = f"umd-rehearsal/{name}:1"
    _docker("build", "--quiet", "--network", "none", "-t", tag, str(context))
    return tag


def _docker(*words: str) -> None:
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
