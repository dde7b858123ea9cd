"""Speed of a model's image: one session for all targets and rounds against a container each.

    make bench-zoo MODEL=sam-med3d WEIGHTS=random:full

One volume, several targets, one more click each round. In the session, whatever targets and rounds
share is computed once. The other way sends each target of each round to a new container, as a
model's demonstration would. The masks of the two ways must be equal. Random weights show
speed only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from evaluator import paths
from evaluator.containers import ModelSession
from evaluator.containers.contracts.native import staged
from evaluator.containers.engines import open_engine
from evaluator.containers.engines.spec import Limits, Workspace
from evaluator.containers.gpus import choose_gpus, find_gpus
from evaluator.evaluation.plan import target_refusal
from evaluator.imaging.geometry import make_grid
from evaluator.manifests.organs import load_organs
from evaluator.volumes import write_volume
from evaluator.zoo import find_model
from evaluator.zoo.prepare import prepare
from zoo_sdk.nifti import read
from zoo_sdk.wire import ImageFile, Point, Request, Target, dump_request

UNITS = {"CT": "HU", "MR": "a.u.", "PT": "SUVbw"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--shape", type=int, nargs=3, default=(400, 400, 350))
    parser.add_argument("--targets", type=int, default=13)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--alone",
        type=int,
        default=4,
        help="number of requests that are also sent alone; the result is multiplied",
    )
    arguments = parser.parse_args()
    engine = open_engine("docker")
    model = prepare(find_model(arguments.model), engine, weights=arguments.weights).model
    gpus = choose_gpus(find_gpus(), None, model.card)
    gpu = gpus[0].uuid if gpus else None
    folder = Path(tempfile.mkdtemp(dir=paths.cache()))
    try:
        workspace = Workspace(input=folder / "input", output=folder / "output")
        requests = make_requests(workspace.input, model.card, arguments)
        workspace.output.mkdir()
        for path in (folder, *workspace.input.rglob("*")):
            path.chmod(0o755)
        limits = Limits(timeout=3600, memory=model.card.memory, shm=model.card.shm)
        placement = {"run_id": folder.name, "log": folder / "log", "gpu": gpu}

        def session():
            return ModelSession(engine, model, workspace, limits, **placement)

        outcomes, single, peak = in_a_session(session, workspace, requests, arguments.alone)
        report(arguments, gpus, outcomes, single, peak)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_a_session(new_session, workspace, requests, alone):
    """Outcomes of a session, and seconds of some requests alone; raises if a mask differs."""
    with new_session() as session:
        outcomes = [session.ask(staged(request, workspace)) for request in requests]
        peak = session.peak_memory()
    for outcome in outcomes:
        for name in outcome.request.targets:
            mask_of(outcome, name)
    single = []
    step = max(1, len(outcomes) - 1)
    for request, outcome in zip(requests[::step], outcomes[::step], strict=True):
        for target in request.targets[: max(1, alone // 2)]:
            separate = replace(request, id=f"{request.id}-{target.name}", targets=(target,))
            write(workspace.input, separate)
            begun = time.perf_counter()
            with new_session() as session:
                repeated = session.ask(staged(separate, workspace))
            single.append(time.perf_counter() - begun)
            masks = [mask_of(result, target.name) for result in (outcome, repeated)]
            assert masks[0] == masks[1], f"{separate.id}: the mask differs from the session's"
    return outcomes, single, peak


def mask_of(outcome, name: str):
    """The mask's values; a target without a mask would count as a fast one."""
    identifier = outcome.request.id
    path = outcome.output / identifier / f"{name}.nii.gz" if outcome.output else None
    if path is None or not path.is_file():
        raise SystemExit(f"{identifier}: no mask of {name}; the model's reply: {outcome.reply}")
    return read(path).data


def report(arguments, gpus, outcomes, single, peak) -> None:
    first, later = outcomes[0], outcomes[1:]
    n = arguments.targets
    size = " x ".join(map(str, arguments.shape))
    rounds = f"{n} targets, {arguments.rounds} rounds"
    print(f"{arguments.model} {arguments.weights} on {size}, {rounds},")
    print(f"on {gpus[0].name if gpus else 'the CPU'}; seconds of one run")
    of_later = [outcome.seconds for outcome in later]
    session = first.load_seconds + first.seconds + sum(of_later)
    alone = median(single) * n * len(outcomes)
    rows = {
        "start and load": f"{first.load_seconds:.1f}",
        "first round, a target": f"{first.seconds / n:.2f}",
        "later rounds, a target": f"{median(of_later) / n:.2f}" if later else "-",
        "all rounds in one session": f"{session:.1f}",
        "one target of one round alone": f"{median(single):.2f}",
        "all of them alone (multiplied)": f"{alone:.1f}",
        "peak memory, GiB": f"{(peak or 0) / 2**30:.2f}",
        "seconds that the model reports": json.dumps(dict(first.reply.seconds))
        if first.reply
        else "-",
    }
    print("\n| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print(f"\n{alone / session:.1f} times as fast, equal masks in {len(single)} requests")


def make_requests(folder: Path, card, arguments) -> list[Request]:
    """One request for each round, with one more click for each target that the model supports."""
    organs = load_organs()
    supported = [
        name
        for name in organs.names()
        if organs.kind(name) != "lesions" and not target_refusal(card, name)
    ]
    names = supported[: arguments.targets]
    if not 1 <= arguments.targets <= len(supported):
        raise SystemExit(
            f"{card.name} supports {len(supported)} organs; use --targets 1 to {len(supported)}"
        )
    for name in ("requests", "images"):
        (folder / name).mkdir(parents=True)
    shape = tuple(arguments.shape)
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=tuple(n // 10 + 1 for n in shape))
    array = (
        coarse.repeat(10, 0).repeat(10, 1).repeat(10, 2)[: shape[0], : shape[1], : shape[2]] * 200
        + 300
    )
    grid = make_grid(shape, np.diag([1.5, 1.5, 1.5, 1.0]))
    images = {}
    for modality in card.inputs[0]:
        write_volume(folder / f"images/{modality}.nii.gz", array.astype(np.int16), grid)
        images[modality] = ImageFile(f"images/{modality}.nii.gz", UNITS[modality])
    centres = {}
    for name in names:
        centres[name] = np.array([int(rng.integers(n // 4, 3 * n // 4)) for n in shape])
    requests = []
    for number in range(arguments.rounds):
        targets = []
        for name, centre in centres.items():
            points = tuple(click(centre + 4 * k, k) for k in range(number + 1))
            targets.append(Target(name, text=organs.texts(name)[0], points=points))
        requests.append(Request(f"r{number}", "case", number, images, grid, tuple(targets)))
        write(folder, requests[-1])
    return requests


def click(index: np.ndarray, number: int) -> Point:
    voxel = tuple(int(n) for n in index)
    return Point(voxel, tuple(1.5 * n for n in voxel), round=number)


def write(folder: Path, request: Request) -> None:
    path = folder / "requests" / f"{request.id}.json"
    path.write_text(json.dumps(dump_request(request)))
    path.chmod(0o644)


if __name__ == "__main__":
    main()
