"""Every network at full size with random weights on a GPU: speed, memory, CPU = GPU.

    make gpu-check [MODEL=vista3d] [BUNDLE=folder]

Needs a Python with torch, numpy and scipy, and a bundle of ``umd models fetch`` with the models'
packages for that Python. Nothing is installed and nothing is fetched. The parts are ordered by
importance and end after eight minutes; each result is written as soon as it is there, as a line of
gpu-check.jsonl and in the table gpu-check.md. Random weights show speed and memory, and nothing
about the quality of a model.

Without a GPU this is a rehearsal: small networks on a small volume on the CPU, and all that it says
says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu_networks import (
    SAME_NETWORK,
    MissingError,
    Network,
    lay_out,
    networks,
    write_weights,
)
from benchmarks.gpu_sessions import Session, SessionError, write_requests

if TYPE_CHECKING:
    import numpy as np

FULL, SMALL = (400, 400, 350), (96, 80, 64)
MINUTES = 8.0
#: seconds of one part of one network on a GPU; a longer one is a result, too
PART_SECONDS = 75.0
#: of the same masks: CPU against GPU, where half precision may move the surface by a voxel
DICE = 0.99
#: of sharing among the targets
GOAL = 3.0
REHEARSAL = (
    "REHEARSAL ON THE CPU: no GPU was found. Small networks on a small volume; no figure here is "
    "one of a GPU, and CPU = GPU compares the CPU with itself."
)
COLUMNS = (
    "network", "state", "load s", "request s", "GPU peak GiB", "card GiB", "alone x targets",
    "times as fast", "Dice CPU, GPU", "detail",
)  # fmt: skip


@dataclass(kw_only=True)
class Row:
    """What is known of one network so far."""

    network: str
    #: part -> ok, failed or not run
    states: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        """The row of the table."""
        states = ", ".join(f"{part} {state}" for part, state in self.states.items())
        names = (
            "load_s", "request_s", "gpu_peak_gib", "card_gib", "alone_s", "speedup", "dice_lowest",
        )  # fmt: skip
        numbers = [f"{self.figures[n]:.3g}" if n in self.figures else "-" for n in names]
        return [f"`{self.network}`", states, *numbers, "; ".join(self.details)]


@dataclass(kw_only=True)
class Check:
    """One run of the script."""

    gpu: str
    device: str
    bundle: Path | None
    work: Path
    out: Path
    deadline: float
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def size(self) -> str:
        return "full" if self.gpu else "small"

    @property
    def heading(self) -> str:
        shape = " x ".join(map(str, FULL if self.gpu else SMALL))
        facts = f"{self.device}; random:{self.size} on {shape} voxels of 1.5 mm. NOT A RESULT."
        return facts if self.gpu else f"{REHEARSAL}\n\n{facts}"

    def record(self, row: Row, part: str, state: str, detail: str = "", **figures: float) -> None:
        """Keep a result, print it, and write it to both files."""
        row.states[part] = state
        row.figures |= figures
        if detail:
            row.details.append(f"{part}: {detail}")
        line = {"network": row.network, "part": part, "state": state, "detail": detail, **figures}
        line |= {"device": self.device, "rehearsal": not self.gpu}
        with (self.out / "gpu-check.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        (self.out / "gpu-check.md").write_text(self.table(), encoding="utf-8")

    def table(self) -> str:
        """All rows as Markdown."""
        lines = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in self.rows.values())]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{self.heading}\n\n{table}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="names; all without one")
    parser.add_argument("--bundle", type=Path, help="folder that umd models fetch made")
    parser.add_argument("--out", type=Path, default=Path.cwd(), help="folder of the results")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    arguments = parser.parse_args()
    gpu, device = find_gpu()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("gpu-check.jsonl", "gpu-check.md"):
        (arguments.out / name).unlink(missing_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    check = Check(
        gpu=gpu,
        device=device,
        bundle=arguments.bundle,
        work=work,
        out=arguments.out,
        deadline=time.monotonic() + 60 * arguments.minutes,
    )
    print(check.heading, flush=True)
    try:
        run(check, [SAME_NETWORK.get(name, name) for name in arguments.models] or networks())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{check.table()}\nwritten to {arguments.out}/gpu-check.md and gpu-check.jsonl")
    failed = any("failed" in row.states.values() for row in check.rows.values())
    raise SystemExit(1 if failed else 0)


def find_gpu() -> tuple[str, str]:
    """UUID and name of the first GPU; an empty UUID without one that torch can use."""
    import torch

    software = f"torch {torch.__version__}, {os.cpu_count()} cores"
    if not torch.cuda.is_available():
        return "", f"the CPU, {software}"
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    uuid = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    return uuid, f"{torch.cuda.get_device_name(0)}, {software}"


def run(check: Check, names: list[str]) -> None:
    """All parts of all networks, while there is time; weights are written ahead of their use."""
    check.rows = {name: Row(network=name) for name in dict.fromkeys(names)}
    ahead = max(1, (os.cpu_count() or 1) // 6)
    with ThreadPoolExecutor(ahead) as pool:
        prepared = {name: pool.submit(prepare, check, name) for name in check.rows}
        for name, row in check.rows.items():
            measure(check, row, prepared[name])
        pool.shutdown(cancel_futures=True)


def prepare(check: Check, name: str) -> Network:
    """Lay a network out and write its random weights of both sizes."""
    if time.monotonic() > check.deadline:
        raise MissingError("no time was left")
    network = lay_out(name, check.work / name / "model", check.bundle)
    for size in dict.fromkeys((check.size, "small")):
        if fault := write_weights(network, size, check.work / name / size):
            raise MissingError(fault)
    return network


def measure(check: Check, row: Row, prepared: Future[Network]) -> None:
    """Both parts of one network; whatever happens becomes a result."""
    try:
        network = prepared.result(timeout=max(0.1, check.deadline - time.monotonic()))
    except (MissingError, TimeoutError) as error:
        check.record(row, "full", "not run", str(error) or "no time was left")
        return
    card = network.labels.get("gpu-memory", "").removesuffix("GiB")
    row.figures |= {"card_gib": float(card)} if card else {}
    for part, measured in (("full", full_size), ("equal", cpu_equals_gpu)):
        limit = PART_SECONDS if check.gpu else 60 * MINUTES
        deadline = min(check.deadline, time.monotonic() + limit)
        if time.monotonic() > check.deadline - 5:
            check.record(row, part, "not run", "no time was left")
            continue
        try:
            state, detail, figures = measured(check, network, deadline)
        except SessionError as error:
            out_of_time = time.monotonic() >= check.deadline
            check.record(row, part, "not run" if out_of_time else "failed", str(error))
        else:
            check.record(row, part, state, detail, **figures)
    shutil.rmtree(check.work / row.network, ignore_errors=True)


def full_size(check: Check, network: Network, deadline: float) -> tuple[str, str, dict[str, float]]:
    """Load, a request with all targets, its peak; then one target alone in a new session."""
    work, weights = check.work / network.name / "run", check.work / network.name / check.size
    shape, targets = (FULL, 13) if check.gpu else (SMALL, 3)
    requests = write_requests(network, work, shape, targets)
    with Session(network, weights, work, check.gpu) as session:
        load = session.wait_until_ready(deadline)
        first = session.ask(requests["first"], deadline)
        together = session.ask(requests["second"], deadline)
    figures = {"load_s": load, "first_request_s": first.seconds, "request_s": together.seconds}
    figures["targets"] = float(len(together.masks))
    if together.gpu_peak is not None:
        figures["gpu_peak_gib"] = max(together.gpu_peak, first.gpu_peak or 0) / 2**30
    if len(together.masks) == 1:
        return "ok", "one target, nothing to share", figures
    with Session(network, weights, work, check.gpu) as session:
        session.wait_until_ready(deadline)
        session.ask(requests["first"], deadline)
        alone = session.ask(requests["alone"], deadline)
    (name,) = alone.masks
    equal = bool((alone.masks[name] == together.masks[name]).all())
    figures["alone_s"] = alone.seconds * len(together.masks)
    figures["speedup"] = figures["alone_s"] / together.seconds
    notes = [] if equal else [f"the mask of {name} alone differs from the shared one"]
    if check.gpu and figures["speedup"] < GOAL:
        notes.append(f"less than {GOAL:g} times as fast as one at a time")
    return ("ok" if equal else "failed"), "; ".join(notes), figures


def cpu_equals_gpu(
    check: Check, network: Network, deadline: float
) -> tuple[str, str, dict[str, float]]:
    """The small network on a small volume, on both devices."""
    work, weights = check.work / network.name / "equal", check.work / network.name / "small"
    requests = write_requests(network, work, SMALL, 3)
    masks = []
    for device in ("", check.gpu):
        with Session(network, weights, work, device) as session:
            session.wait_until_ready(deadline)
            masks.append(session.ask(requests["first"], deadline).masks)
    values = [dice(masks[0][name], masks[1][name]) for name in masks[0]]
    voxels = sum(int(mask.sum()) for mask in masks[0].values())
    detail = "" if voxels else "all masks are empty, so this shows nothing"
    state = "ok" if min(values) >= DICE else "failed"
    return state, detail, {"dice_lowest": min(values), "voxels": float(voxels)}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks; of two empty ones 1."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
