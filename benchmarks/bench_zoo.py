"""Speed of a model's image: seconds for each target in the first round and in later ones.

    make bench-zoo MODEL=sam-med3d WEIGHTS=random:full

One volume, several targets, one more click in each round. In the session, the work that targets and
rounds share is done once. The comparison sends each target of each round to a new container, as a
model's demo does. The masks of both must be equal. With random weights the numbers describe speed
alone.
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
        help="how many requests are also sent alone; the total is extrapolated",
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
        how = {"run_id": folder.name, "log": folder / "log", "gpu": gpu}
        results = in_a_session(engine, model, workspace, limits, how, requests, arguments.alone)
        report(arguments, gpus, *results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_a_session(engine, model, workspace, limits, how, requests, alone):
    """Answers of a session, and of some of the same requests alone; raises where a mask differs."""
    with ModelSession(engine, model, workspace, limits, **how) as session:
        answers = [session.ask(request) for request in requests]
        peak = session.peak_memory()
    for answer in answers:
        for target in answer.request.targets:
            mask_of(answer, target.name)
    single = []
    for answer in answers[:: max(1, len(answers) - 1)]:
        for target in answer.request.targets[: max(1, alone // 2)]:
            request = replace(
                answer.request, id=f"{answer.request.id}-{target.name}", targets=(target,)
            )
            write(workspace.input, request)
            begun = time.perf_counter()
            with ModelSession(engine, model, workspace, limits, **how) as session:
                single_answer = session.ask(request)
            single.append(time.perf_counter() - begun)
            masks = [mask_of(a, target.name) for a in (answer, single_answer)]
            assert masks[0] == masks[1], f"{request.id}: the mask differs from the session's"
    return answers, single, peak


def mask_of(answer, name: str):
    """The mask's values; without this check a missing mask would count as a fast answer."""
    path = answer.folder / f"{name}.nii.gz"
    if not path.is_file():
        raise SystemExit(
            f"{answer.request.id}: no mask of {name}; the model's reply: {answer.reply}"
        )
    return read(path).data


def report(arguments, gpus, answers, single, peak) -> None:
    first, later = answers[0], answers[1:]
    n = arguments.targets
    shape = " x ".join(map(str, arguments.shape))
    print(
        f"{arguments.model} {arguments.weights} on {shape}, {n} targets, {arguments.rounds} rounds,"
    )
    print(f"on {gpus[0].name if gpus else 'the CPU'}; seconds of one run")
    in_session = first.load_seconds + sum(answer.seconds for answer in answers)
    alone = median(single) * n * len(answers)
    later_seconds = f"{median(answer.seconds for answer in later) / n:.2f}" if later else "-"
    rows = {
        "start and load": f"{first.load_seconds:.1f}",
        "first round, a target": f"{first.seconds / n:.2f}",
        "later rounds, a target": later_seconds,
        "all rounds in one session": f"{in_session:.1f}",
        "one target of one round alone": f"{median(single):.2f}",
        "all of them alone (extrapolated)": f"{alone:.1f}",
        "peak memory, GiB": f"{(peak or 0) / 2**30:.2f}",
        "times that the model reports": json.dumps(dict(first.reply.seconds))
        if first.reply
        else "-",
    }
    print("\n| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print(f"\n{alone / in_session:.1f} times as fast, equal masks in {len(single)} requests")


def make_requests(folder: Path, card, arguments) -> list[Request]:
    """Requests round by round, with one more click for each target in each.

    The targets are organs that the model accepts, by the names and texts that every model gets.
    """
    organs = load_organs()
    accepted = [
        name
        for name in organs.names()
        if organs.kind(name) != "lesions" and not target_refusal(card, name)
    ]
    names = accepted[: arguments.targets]
    if not 1 <= arguments.targets <= len(accepted):
        raise SystemExit(
            f"{card.name} accepts {len(accepted)} organs; give --targets 1 to {len(accepted)}"
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
    middles = {}
    for name in names:
        middles[name] = np.array([int(rng.integers(n // 4, 3 * n // 4)) for n in shape])
    requests = []
    for number in range(arguments.rounds):
        targets = []
        for name, middle in middles.items():
            points = tuple(click(middle, k) for k in range(number + 1))
            targets.append(Target(name, text=organs.texts(name)[0], points=points))
        requests.append(Request(f"r{number}", "case", number, images, grid, tuple(targets)))
        write(folder, requests[-1])
    return requests


def click(middle: np.ndarray, number: int) -> Point:
    """The click of this number: four voxels from the click before it along each axis."""
    i, j, k = (middle + 4 * number).tolist()
    return Point((i, j, k), (1.5 * i, 1.5 * j, 1.5 * k), round=number)


def write(folder: Path, request: Request) -> None:
    path = folder / "requests" / f"{request.id}.json"
    path.write_text(json.dumps(dump_request(request)))
    path.chmod(0o644)


if __name__ == "__main__":
    main()
