"""A session with an adapter, as engine ``local`` runs it, and requests on one synthetic volume."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.gpu_networks import ROOT, Network
from zoo_sdk.nifti import read, write
from zoo_sdk.wire import Box, Grid, ImageFile, Point, Request, Target, dump_request

UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}
SPACING = 1.5
#: the thirteen of the paper
ORGANS = (
    "liver", "kidney-left", "kidney-right", "brain", "heart", "spleen", "aorta", "lung", "colon",
    "bladder", "pancreas", "esophagus", "stomach",
)  # fmt: skip


class SessionError(Exception):
    """The adapter ended, refused or did not answer in time."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for one request."""

    #: seconds between the request and the reply
    seconds: float
    #: most bytes that torch held on the GPU; None without one
    gpu_peak: int | None
    #: target -> mask
    masks: dict[str, np.ndarray]


class Session:
    """``python -m zoo_sdk.serve ADAPTER serve``, the command of engine ``local``."""

    def __init__(self, network: Network, weights: Path, work: Path, gpu: str) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._output = work / f"output-{time.monotonic_ns()}"
        self._output.mkdir()
        environment = os.environ | network.environment
        environment |= {"UMD_INPUT": str(work / "input"), "UMD_OUTPUT": str(self._output)}
        environment |= {"UMD_WEIGHTS": str(weights), "UMD_GPU": gpu, "CUDA_VISIBLE_DEVICES": gpu}
        self._log = (work / "log.txt").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zoo_sdk.serve", str(network.adapter), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        assert self._process.stdout
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._thread.join(timeout=5)
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._log.close()

    def wait_until_ready(self, deadline: float) -> float:
        """Seconds until the weights are loaded."""
        begun = time.monotonic()
        reply = self._next(deadline)
        if not reply.get("ready"):
            raise SessionError(f"{reply.get('kind')}: {reply.get('message')}"[:300])
        return time.monotonic() - begun

    def ask(self, request: Request, deadline: float) -> Answer:
        """Send a request; every target must come back with a mask."""
        assert self._process.stdin
        begun = time.monotonic()
        self._process.stdin.write(request.id + "\n")
        self._process.stdin.flush()
        reply = self._next(deadline)
        seconds = time.monotonic() - begun
        masks = {}
        for target in request.targets:
            path = self._output / request.id / f"{target.name}.nii.gz"
            if not path.is_file():
                answered = reply.get("targets", {}).get(target.name, {})
                raise SessionError(f"no mask of {target.name}: {answered}"[:300])
            # the order of the axes does not matter, as masks are only compared
            masks[target.name] = np.frombuffer(read(path).data, dtype=np.uint8) > 0
        return Answer(seconds=seconds, gpu_peak=reply.get("gpu_peak_bytes"), masks=masks)

    def _next(self, deadline: float) -> Any:
        try:
            line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            raise SessionError("over its time; ended") from None
        if not line:
            raise SessionError(f"the adapter ended; see {self._log.name}")
        return json.loads(line)


def write_requests(
    network: Network, work: Path, shape: tuple[int, int, int], targets: int
) -> dict[str, Request]:
    """Requests about two images of noise: ``first`` and ``second`` for all targets, ``alone``.

    ``alone`` has the last target of ``second`` alone.
    """
    folder = work / "input"
    for name in ("requests", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    grid = Grid(shape=shape, affine=tuple(map(tuple, affine.tolist())))
    card_targets = network.targets
    names = [name for name in ORGANS if card_targets is None or name in card_targets]
    names = names or sorted(card_targets or {"liver"})
    chosen = tuple(_target(name, n, shape) for n, name in enumerate(names[:targets]))
    requests = {}
    for number, name in enumerate(("first", "second")):
        image = f"images/{name}.nii.gz"
        voxels = noise(shape, number).tobytes(order="F")
        write(folder / image, shape, grid.affine, "h", voxels)
        request = Request(
            id=name,
            case=name,
            round=0,
            images={network.modality: ImageFile(image, UNITS[network.modality])},
            grid=grid,
            targets=chosen,
        )
        requests[name] = request
    requests["alone"] = replace(requests["second"], id="alone", targets=chosen[-1:])
    for name, request in requests.items():
        text = json.dumps(dump_request(request))
        (folder / "requests" / f"{name}.json").write_text(text, encoding="utf-8")
    return requests


def noise(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Blocks of ten voxels, mean 300, deviation 200, as whole numbers."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(300, 200, size=tuple(n // 10 + 1 for n in shape))
    blocks = coarse.repeat(10, 0).repeat(10, 1).repeat(10, 2)
    return blocks[: shape[0], : shape[1], : shape[2]].astype(np.int16)


def _target(name: str, number: int, shape: tuple[int, int, int]) -> Target:
    """A target with every prompt; each lies at another place."""
    rng = np.random.default_rng(100 + number)
    i, j, k = (int(rng.integers(n // 3, 2 * n // 3)) for n in shape)
    click = Point((i, j, k), (SPACING * i, SPACING * j, SPACING * k))
    box = Box(low=(i - 8, j - 8, k - 8), high=(i + 8, j + 8, k + 8))
    return Target(name, text=_texts().get(name, name), points=(click,), box=box)


def _texts() -> dict[str, str]:
    organs = tomllib.loads((ROOT / "manifests" / "organs.toml").read_text(encoding="utf-8"))
    return {name: entry["texts"][0] for name, entry in organs["organs"].items()}
