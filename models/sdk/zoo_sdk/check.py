"""Check that an image keeps the contract: ``python -m zoo_sdk.check [-- COMMAND ...]``, inside it.

Starts the model as the evaluator would, first in batch and then in a session, on tiny volumes whose
grids are flipped, oblique and anisotropic, and looks at every file that comes back. Without a
command the adapter at ``/opt/model/adapter.py`` is served. Exit status 0 if the contract is kept,
else 1. Standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path
from typing import List, Sequence

from zoo_sdk import nifti
from zoo_sdk.plain_json import loads
from zoo_sdk.wire import (
    Box,
    Grid,
    ImageFile,
    Point,
    Request,
    Target,
    WireError,
    dump_request,
    parse_reply,
)

DEFAULT = [sys.executable, "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]
SECONDS = 600
SHAPE = (12, 10, 8)
UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}
GRIDS = (
    ((2.0, 0, 0, -11), (0, 2.0, 0, -9), (0, 0, 3.0, 5), (0, 0, 0, 1)),
    ((-2.0, 0, 0, 11), (0, 0, 3.1, -9), (0, -1.5, 0, 5), (0, 0, 0, 1)),
    ((1.92, -0.7, 0, -11), (0.56, 2.4, 0, -9), (0, 0, 3.0, 5), (0, 0, 0, 1)),
)


def main(arguments: List[str]) -> int:
    """Run all checks; returns the exit status."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    with tempfile.TemporaryDirectory() as folder:
        requests = make_requests(Path(folder, "input"))
        faults = []
        for mode in ("batch", "session"):
            output = Path(folder, mode)
            output.mkdir()
            faults += [
                "%s: %s" % (mode, fault)
                for fault in run(command or DEFAULT, mode, Path(folder), output, requests)
            ]
        for name in sorted(
            path.relative_to(folder + "/batch") for path in Path(folder, "batch").glob("*/*.nii.gz")
        ):
            if not Path(folder, "session", name).exists():
                faults.append("session: no %s, which the batch wrote" % name)
            elif (
                nifti.read(Path(folder, "session", name)).data
                != nifti.read(Path(folder, "batch", name)).data
            ):
                faults.append("session: %s differs from the batch's" % name)
    for fault in faults:
        print("FAIL", fault)
    print(
        "%d requests in batch and in session: %s"
        % (len(requests), "%d faults" % len(faults) if faults else "ok")
    )
    return 1 if faults else 0


def make_requests(folder: Path) -> List[Request]:
    """A bright ball in each modality on each grid, with every kind of prompt; ids in name order."""
    (folder / "requests").mkdir(parents=True)
    (folder / "images").mkdir()
    requests = []
    for number, affine in enumerate(GRIDS):
        for modality, unit in UNITS.items():
            name = "%s%d" % (modality.lower(), number)
            # the inside is not constant: some models scale by the brightest voxels
            count = SHAPE[0] * SHAPE[1] * SHAPE[2]
            values = array("f", (100.0 + n % 7 if _in_ball(n) else 0.0 for n in range(count)))
            nifti.write(
                folder / "images" / (name + ".nii.gz"), SHAPE, affine, "f", values.tobytes()
            )
            middle = (6, 5, 4)
            x, y, z = (_world(row, middle) for row in affine[:3])
            target = Target(
                name="liver",
                text="liver",
                points=(Point(index=middle, ras_mm=(x, y, z)),),
                box=Box(low=(3, 2, 1), high=(10, 9, 8)),
            )
            image = ImageFile(path="images/%s.nii.gz" % name, unit=unit)
            request = Request(
                id=name,
                case=name,
                round=0,
                images={modality: image},
                grid=Grid(shape=SHAPE, affine=affine),
                targets=(target,),
            )
            (folder / "requests" / (name + ".json")).write_text(
                json.dumps(dump_request(request)), encoding="utf-8"
            )
            requests.append(request)
    return sorted(requests, key=lambda request: request.id)


def _world(row: Sequence[float], index: Sequence[int]) -> float:
    """One world coordinate of a voxel, mm, from its row of the affine."""
    return sum(row[c] * index[c] for c in range(3)) + row[3]


def _in_ball(n: int) -> bool:
    i, j, k = n % SHAPE[0], n // SHAPE[0] % SHAPE[1], n // (SHAPE[0] * SHAPE[1])
    return (i - 6) ** 2 + (j - 5) ** 2 + (k - 4) ** 2 <= 9


def run(
    command: List[str], mode: str, folder: Path, output: Path, requests: List[Request]
) -> List[str]:
    """Run the model on all requests and return its faults."""
    environment = dict(os.environ, UMD_INPUT=str(folder / "input"), UMD_OUTPUT=str(output))
    lines = "".join(request.id + "\n" for request in requests) if mode == "session" else ""
    try:
        done = subprocess.run(
            command + (["serve"] if mode == "session" else []),
            input=lines,
            stdout=subprocess.PIPE,
            universal_newlines=True,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    faults = [] if done.returncode == 0 else ["exit status %d" % done.returncode]
    if mode == "session":
        faults += _read_lines(done.stdout, requests)
    for request in requests:
        faults += look_at(output / request.id, request)
    return faults


def _read_lines(text: str, requests: List[Request]) -> List[str]:
    lines = text.splitlines()
    try:
        if not lines or loads(lines[0]).get("ready") is not True:
            return ['the first line on standard output is not {"ready": true}']
        ids = [parse_reply(loads(line)).id for line in lines[1:]]
    except (WireError, AttributeError) as error:
        return ["standard output holds a line that is not a reply: %s" % error]
    expected = [request.id for request in requests]
    return [] if ids == expected else ["requests %s, but replies to %s" % (expected, ids)]


def look_at(folder: Path, request: Request) -> List[str]:
    """The faults of the answer to one request."""
    status = "ok"
    if (folder / "reply.json").exists():
        try:
            reply = parse_reply(loads((folder / "reply.json").read_text(encoding="utf-8")))
        except WireError as error:
            return ["%s/reply.json: %s" % (request.id, error)]
        liver = reply.targets.get("liver")
        status = liver.status if liver else "ok"
        if liver and liver.status == "error":
            return ["%s: the model reports %s: %s" % (request.id, liver.kind, liver.message)]
    if status == "unsupported":
        return []
    try:
        mask = nifti.read(folder / "liver.nii.gz")
    except (OSError, EOFError, nifti.NotNifti) as error:
        return ["%s: %s" % (request.id, error)]
    faults = []
    if mask.letter != "B" or set(mask.data) - {0, 1}:
        faults.append("%s: a mask is uint8, 0 and 1" % request.id)
    if mask.shape != request.grid.shape:
        faults.append("%s: shape %s, expected %s" % (request.id, mask.shape, request.grid.shape))
    rows = zip(mask.affine, request.grid.affine)
    difference = max(_largest_difference(actual, expected) for actual, expected in rows)
    if difference > 1e-3:
        faults.append("%s: the affine differs by up to %g" % (request.id, difference))
    return faults


def _largest_difference(actual: Sequence[float], expected: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(actual, expected))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
