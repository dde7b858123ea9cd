"""Serve an adapter as an algorithm of Grand Challenge ("invoke").

    python -m zoo_sdk.grand_challenge ADAPTER.py SOCKETS.json

The model is loaded once. Then ``GET /health`` on port 4743 answers 200, and each ``POST /invoke``
reads ``/input`` and writes ``/output``: 201, or 500 with the reason. The socket map says which file
is which image, prompt or answer; it is the evaluator's (docs/bring-your-image.md) as JSON. Inside,
each call is a request of contract 1. Points of the platform name no target, so every target gets
all of them. ``umd models export NAME --for grand-challenge`` makes such an image of a model.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from zoo_sdk import metaimage, nifti
from zoo_sdk.plain_json import loads
from zoo_sdk.serve import LONGEST_MESSAGE, answer, load_adapter
from zoo_sdk.wire import Affine, Grid, ImageFile, Point, Request, Target, dump_request

PORT = 4743
UNITS = {"CT": "HU", "PT": "SUVbw", "MR": "a.u."}
#: a target of the socket map that stands for any
ANY = "*"
#: what such a target is called
NAME = "target"
ID = "invoke"


class Failed(Exception):
    """The input cannot be used, or the model gave no mask; the message says why."""


def main(arguments: List[str]) -> int:
    """Run the command; returns the exit status."""
    if len(arguments) != 2:
        print("usage: python -m zoo_sdk.grand_challenge ADAPTER.py SOCKETS.json", file=sys.stderr)
        return 2
    adapter = load_adapter(Path(arguments[0]))
    sockets = loads(Path(arguments[1]).read_text(encoding="utf-8"))
    folder = Path(os.environ.get("UMD_GC_ROOT") or "/")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The model is loaded: it is healthy."""
            self._reply(200 if self.path == "/health" else 404, "")

        def do_POST(self) -> None:
            """Answer one case."""
            if self.path != "/invoke":
                self._reply(404, "")
                return
            try:
                invoke(adapter, sockets, folder / "input", folder / "output")
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                self._reply(500, "%s: %s" % (type(error).__name__, error))
            else:
                self._reply(201, "")

        def _reply(self, status: int, text: str) -> None:
            body = text[:LONGEST_MESSAGE].encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: the platform keeps what the model prints."""

    port = int(os.environ.get("UMD_GC_PORT") or PORT)
    with http.server.HTTPServer(("", port), Handler) as server:
        server.serve_forever()
    return 0


def invoke(adapter: Any, sockets: Mapping[str, Any], given: Path, output: Path) -> None:
    """Answer one case.

    Args:
        adapter: the model.
        sockets: the socket map.
        given: the folder with the inputs.
        output: the folder for the outputs.

    Raises:
        Failed: the input cannot be used, or the model gave no mask.
        NotMetaImage: an image cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMD_INPUT"], os.environ["UMD_OUTPUT"] = folder, folder + "/answers"
        request = _request(sockets, given, Path(folder))
        (Path(folder) / "requests").mkdir()
        (Path(folder) / "requests" / (ID + ".json")).write_text(
            json.dumps(dump_request(request)), encoding="utf-8"
        )
        reply = answer(adapter, ID)
        for target in request.targets:
            target_reply = reply.targets.get(target.name)
            if target_reply is None or target_reply.status != "ok":
                reason = (
                    "%s: %s" % (target_reply.kind or target_reply.status, target_reply.message)
                    if target_reply
                    else reply.notes
                )
                raise Failed("the model gave no mask of %s (%s)" % (target.name, reason))
        for slug, socket in sockets["outputs"].items():
            labels = _labels(socket["targets"], Path(folder, "answers", ID), request.grid)
            place = output / socket["path"]
            place.mkdir(parents=True, exist_ok=True)
            metaimage.write_labels(place / (slug + ".mha"), labels, request.grid)


def _request(sockets: Mapping[str, Any], given: Path, folder: Path) -> Request:
    """The request of contract 1, with its images in a folder."""
    (folder / "images").mkdir()
    images: Dict[str, Tuple[ImageFile, Grid]] = {}
    # the image whose grid the answer has comes first: one that no other grid was put upon
    inputs = sockets["inputs"]
    for slug in sorted(inputs, key=lambda slug: inputs[slug].get("like") is not None):
        modality = inputs[slug].get("modality")
        if modality is None:
            continue
        path = "images/%s.nii.gz" % modality.lower()
        grid = metaimage.to_nifti(_only_file(given / inputs[slug]["path"]), folder / path)
        images[modality] = (ImageFile(path=path, unit=UNITS[modality]), grid)
    if not images:
        raise Failed("the socket map has no image")
    grid = next(iter(images.values()))[1]
    points = _points(inputs, given, grid.affine)
    names: Dict[str, None] = {}
    for socket in sockets["outputs"].values():
        for target in socket["targets"]:
            names[NAME if target == ANY else target] = None
    return Request(
        id=ID,
        case="case",
        round=0,
        images={modality: image for modality, (image, _) in images.items()},
        grid=grid,
        targets=tuple(Target(name=name, text=name, points=points) for name in names),
    )


def _only_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.mha")) if folder.is_dir() else []
    if len(files) != 1:
        raise Failed("%s holds %d .mha files; one is expected" % (folder, len(files)))
    return files[0]


def _points(inputs: Mapping[str, Any], given: Path, affine: Affine) -> Tuple[Point, ...]:
    """The points of all sockets that are no images: "Multiple points" in voxels (i, j, k)."""
    points = []
    for slug, socket in inputs.items():
        if socket.get("modality") is not None:
            continue
        foreground = socket.get("foreground", "foreground")
        names = (foreground, socket.get("background", "background"))
        for point in loads((given / socket["path"]).read_text(encoding="utf-8"))["points"]:
            if point["name"] not in names:
                raise Failed(
                    "%s: a point is called %r, not %s or %s" % (slug, point["name"], *names)
                )
            i, j, k = (round(number) for number in point["point"])
            x, y, z = (row[0] * i + row[1] * j + row[2] * k + row[3] for row in affine[:3])
            points.append(
                Point(index=(i, j, k), ras_mm=(x, y, z), foreground=point["name"] == foreground)
            )
    return tuple(points)


def _labels(values: Mapping[str, int], folder: Path, grid: Grid) -> bytes:
    """The label map of one output, uint8, first index fastest."""
    import numpy as np

    labels = np.zeros(grid.shape[0] * grid.shape[1] * grid.shape[2], np.uint8)
    for target, value in values.items():
        name = NAME if target == ANY else target
        mask = np.frombuffer(nifti.read(folder / (name + ".nii.gz")).data, np.uint8)
        labels[mask > 0] = value
    return labels.tobytes()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
